"""Which rank holds up a job that makes no step (docs/adr/0015). Pure.

The ranks that wait for it look no different in their steps: each has done what it could. So it is what the ranks are
doing that tells, and the step only among ranks of which that tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from trireme.contract.wire import Stand

from trireme_worker.membership import Who

ANSWER_SECONDS = 5.0
"""For the pods to say where their ranks are."""


@dataclass
class Inquiry:
    """All members of `awaited` were asked where their ranks are."""

    asked: float
    awaited: set[Who]
    stands: dict[int, Stand] = field(default_factory=dict)

    def answer(self, who: Who, stands: dict[int, Stand]) -> None:
        if stands:
            self.awaited.discard(who)
            self.stands.update(stands)

    def closed(self, now: float) -> bool:
        return not self.awaited or now - self.asked >= ANSWER_SECONDS


@dataclass(frozen=True)
class Culprit:
    rank: int
    message: str


def culprit(
    ranks: Collection[int], stands: dict[int, Stand], step: Callable[[int], int | None], seconds: float
) -> Culprit:
    """Among `ranks`, at least one: stopped before not waiting for peers before fewest steps before lowest.

    A rank that has reported no step while others have is behind them.
    """

    def guilt(rank: int) -> tuple[bool, bool, int]:
        stand, done = stands.get(rank, Stand()), step(rank)
        return not stand.stopped, stand.waiting, -1 if done is None else done

    first = min(ranks, key=lambda rank: (guilt(rank), rank))
    alike = sum(guilt(rank) == guilt(first) for rank in ranks)
    told = [f"no step for {seconds:g} s", f"rank {first} {_doing(stands.get(first, Stand()), step(first))}"]
    if alike > 1:
        told.append(f"{alike} ranks look alike and this is the first")
    return Culprit(first, "; ".join(told))


def waits(rank: int, stands: Mapping[int, Stand]) -> bool:
    """For its peers; False where nobody knows."""
    return stands.get(rank, Stand()).waiting


def _doing(stand: Stand, step: int | None) -> str:
    after = f"after step {step}" if step is not None else "before its first step"
    if stand.stopped:
        return f"is stopped by a signal {after}, so it has no stack to show"
    if not stand.where:
        return f"stands still {after}; its stack could not be had"
    return f"{'waits for its peers' if stand.waiting else 'stands still'} {after}, at {stand.where}"
