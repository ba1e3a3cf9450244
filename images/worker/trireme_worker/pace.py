"""How far the ranks are and how fast: the job's progress, ranks that make no step, ranks that are slow. Pure.

`now` is in seconds by a clock that never goes back.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from trireme.contract.wire import Progress, Straggler

WINDOW_SECONDS = 30.0
"""Long enough for slow steps, short enough to show a change."""
STRAGGLER_FACTOR = 1.5
"""Slower than the median by so much, over a whole window."""
STRAGGLER_STEPS = 10
"""Of the median rank within a window: fewer say nothing, because a step that is under way is not counted."""
STRAGGLER_RANKS = 3
"""Of two ranks nobody can say which one is out of step."""


@dataclass
class _Rank:
    step: int
    moved: float
    """When its step changed."""
    total: int | None = None
    samples: deque[tuple[float, int]] = field(default_factory=deque)
    active: bool = True
    """Its process runs."""

    @property
    def at_end(self) -> bool:
        """All the steps that there are to be are done; what follows is an evaluation, a save, an exit."""
        return self.step == self.total

    def add(self, progress: Progress, now: float) -> None:
        step, self.total = progress.step, progress.total_steps
        if step < self.step:
            self.samples.clear()
        if step != self.step:
            self.step, self.moved = step, now
        self.samples.append((now, step))
        while self.samples[0][0] < now - WINDOW_SECONDS and len(self.samples) > 2:
            self.samples.popleft()

    def steps_per_second(self) -> float | None:
        (start, first), (end, last) = self.samples[0], self.samples[-1]
        return (last - first) / (end - start) if end > start else None

    def over_window(self, now: float) -> float | None:
        """Steps a second until now; None when the rank has not been seen for most of a window."""
        start, first = self.samples[0]
        return (self.step - first) / (now - start) if now - start >= 0.8 * WINDOW_SECONDS else None


class Pace:
    def __init__(self) -> None:
        self._ranks: dict[int, _Rank] = {}
        self._lowest: int | None = None
        self._returning: set[int] = set()
        """Ranks whose processes are being replaced, until these report."""
        self.progress: Progress | None = None
        """Of the lowest rank that reports; it outlives the generation."""

    def add(self, rank: int, progress: Progress, now: float) -> bool:
        """Whether the rank has made a step since it last reported."""
        if rank in self._returning:
            self._returning.discard(rank)
            self.excuse(now)
        known = self._ranks.setdefault(rank, _Rank(progress.step, now))
        further = progress.step > known.step
        known.add(progress, now)
        if self._lowest is None or rank <= self._lowest:
            self._lowest, self.progress = rank, progress
        return further

    def restart(self) -> None:
        """All processes are new ones: nothing that they do not report themselves counts."""
        self._ranks.clear()
        self._returning.clear()
        self._lowest = None

    def forget(self, ranks: Iterable[int]) -> None:
        """Their processes have ended; successors may report."""
        self._returning.update(rank for rank in ranks if self._ranks.pop(rank, None) is not None)

    def returning(self, ranks: Iterable[int]) -> None:
        """They are replacing processes that are not known."""
        self._returning.update(ranks)

    def give_up(self, ranks: Iterable[int]) -> None:
        """Their processes have had their time to report: nobody is to wait for that any longer."""
        self._returning.difference_update(ranks)

    @property
    def any_active(self) -> bool:
        """Whether a rank that has reported may go on."""
        return any(known.active for known in self._ranks.values())

    def done(self, ranks: Iterable[int]) -> None:
        for rank in ranks:
            self._returning.discard(rank)
            if rank in self._ranks:
                self._ranks[rank].active = False

    def excuse(self, now: float) -> None:
        """What held all ranks up is being mended: they get their time anew."""
        for known in self._ranks.values():
            known.moved = now

    def steps_per_second(self) -> float | None:
        lowest = self._ranks.get(self._lowest) if self._lowest is not None else None
        return lowest.steps_per_second() if lowest is not None else None

    def step(self, rank: int) -> int | None:
        known = self._ranks.get(rank)
        return known.step if known is not None else None

    def at_end(self, rank: int) -> bool:
        """Whether it has reported the last of its total steps."""
        return rank in self._ranks and self._ranks[rank].at_end

    def overdue(self, now: float, patience: Callable[[int], float], *, each: bool) -> Collection[int]:
        """Ranks that have made no step for as long as `patience`; `each`: of themselves, else only if none of the job
        has that has steps to make.

        None while processes are being replaced: others may wait for them, and would be blamed for it.
        """
        if self._returning:
            return []
        active = {rank: known for rank, known in self._ranks.items() if known.active}
        if not each:
            active = {rank: known for rank, known in active.items() if not known.at_end} or active
        late = [rank for rank, known in active.items() if now - known.moved >= patience(rank)]
        return late if each or len(late) == len(active) else []

    def stragglers(self, now: float) -> tuple[Straggler, ...]:
        measured = {rank: known.over_window(now) for rank, known in sorted(self._ranks.items()) if known.active}
        paces = {rank: pace for rank, pace in measured.items() if pace is not None}
        if len(paces) < STRAGGLER_RANKS:
            return ()
        median = statistics.median(paces.values())
        if median * WINDOW_SECONDS < STRAGGLER_STEPS:
            return ()
        return tuple(Straggler(rank, pace, median) for rank, pace in paces.items() if pace * STRAGGLER_FACTOR < median)
