"""Who may read what when, and which push is new: the clocks of one range. Pure.

Sync is bulk synchronous, Bounded the stale synchronous parallel of Ho et al. 2013, Async waits for nobody. A worker's
pushes of a range are numbered 1, 2, 3, ...; the clock of a range keeps the last number of each worker (a vector clock).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Mode(str, Enum):
    SYNC = "Sync"
    BOUNDED = "Bounded"
    ASYNC = "Async"


@dataclass(frozen=True)
class Consistency:
    """`staleness`: how many steps a worker may run ahead of the slowest; Bounded only."""

    mode: Mode
    staleness: int = 0

    def __post_init__(self) -> None:
        if self.staleness < 0 or (self.staleness and self.mode is not Mode.BOUNDED):
            raise ValueError(
                f"staleness {self.staleness} goes with no {self.mode.value}: it is 0 or more, and Bounded's alone"
            )

    @classmethod
    def parse(cls, text: str) -> Consistency:
        """The inverse of `str`: Sync, Async, Bounded:4. Raises ValueError."""
        name, colon, staleness = text.partition(":")
        if name not in [mode.value for mode in Mode] or (colon and not (staleness.isascii() and staleness.isdigit())):
            raise ValueError(f"consistency is Sync, Async or Bounded:<staleness>, got {text!r:.100}")
        return cls(Mode(name), int(staleness or 0))

    def __str__(self) -> str:
        return f"{self.mode.value}:{self.staleness}" if self.mode is Mode.BOUNDED else self.mode.value


RANKS = 2**20
"""More than there are."""


def following(latest: int, rank: int) -> int:
    """The number of a change of the rule by a worker that knows of change `latest`; 0: of none.

    It is higher whatever their clocks say, and of two workers that change it at the same time it is another one.
    """
    return (latest // RANKS + 1) * RANKS + rank


class Verdict(str, Enum):
    """What becomes of a push."""

    APPLY = "apply"
    DUPLICATE = "duplicate"
    """It was applied before: acknowledge it, no more."""
    GAP = "gap"
    """One before it is missing, or its worker is not in the clock: refuse it."""


class Clock:
    """Of one range: the last applied push of each worker, and who is waited for.

    A worker that left is not waited for, but its number is kept: what it sent may still arrive. A worker that joins
    with a number beyond its own skips the pushes between; they were never applied and never will be.
    """

    def __init__(self, members: Iterable[int] = ()) -> None:
        self._applied: dict[int, int] = {}
        self._skipped: dict[int, list[tuple[int, int]]] = {}
        self._members: set[int] = set()
        for worker in members:
            self.join(worker, 0)

    @property
    def members(self) -> tuple[int, ...]:
        return tuple(sorted(self._members))

    def get(self, worker: int) -> int:
        """The worker's last applied push; 0: none yet."""
        return self._applied.get(worker, 0)

    def slowest(self) -> int:
        """The least number of all members; without members the greatest ever, where a newcomer would begin."""
        if not self._members:
            return max(self._applied.values(), default=0)
        return min(self.get(worker) for worker in self._members)

    def admit(self, worker: int, number: int) -> Verdict:
        last = self.get(worker)
        if number <= last:
            skipped = any(after < number <= upto for after, upto in self._skipped.get(worker, ()))
            return Verdict.GAP if skipped or number < 1 else Verdict.DUPLICATE
        return Verdict.APPLY if number == last + 1 and worker in self._members else Verdict.GAP

    def advance(self, worker: int, number: int) -> None:
        """Notes that a push was applied. Raises ValueError for one that `admit` would not apply."""
        if self.admit(worker, number) is not Verdict.APPLY:
            raise ValueError(f"push {number} of worker {worker} does not follow {self.get(worker)}")
        self._applied[worker] = number

    def join(self, worker: int, at: int) -> int:
        """Enters a worker, or its successor: it goes on from `at` or its own last number, whichever is greater.

        Returns that number; the worker's next push is one more. A newcomer joins at `slowest()`, where it holds up
        nobody.
        """
        last = self.get(worker)
        if at > last:
            self._skipped.setdefault(worker, []).append((last, at))
        self._applied[worker] = max(last, at)
        self._members.add(worker)
        return self._applied[worker]

    def leave(self, worker: int) -> None:
        """Nobody waits for this worker any more. In Sync a lost worker stays: the others wait for its successor."""
        self._members.discard(worker)

    def plain(self) -> dict[str, Any]:
        """JSON's words for it; `of` reads them."""
        return {
            "applied": {str(worker): number for worker, number in self._applied.items()},
            "members": sorted(self._members),
            "skipped": {str(worker): [list(pair) for pair in pairs] for worker, pairs in self._skipped.items()},
        }

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Clock:
        clock = cls()
        clock._applied = {int(worker): number for worker, number in plain["applied"].items()}
        clock._members = set(plain["members"])
        clock._skipped = {int(worker): [(a, b) for a, b in pairs] for worker, pairs in plain["skipped"].items()}
        return clock


def may_pull(consistency: Consistency, clock: Clock, worker: int, number: int) -> bool:
    """Whether a worker whose last push of this range is `number` may have its values now.

    Sync: all members' push `number` is in. Bounded: the slowest member is at most `staleness` pushes behind. In both
    the worker's own pushes are in, so that it reads what it wrote.
    """
    if consistency.mode is Mode.ASYNC:
        return True
    return clock.get(worker) >= number and clock.slowest() >= number - consistency.staleness
