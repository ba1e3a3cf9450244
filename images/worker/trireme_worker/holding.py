"""Members whose processes have failed and that stay in their pods for the operator's word: start again, or end. Pure.

The coordinator holds them and counts nothing (docs/adr/0019). Without a word in time, and where no operator listens
that would give one, the pod ends by its failure, and what follows from that is the operator's as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from trireme.contract import exits, wire
from trireme.contract.exits import Kind
from trireme.contract.wire import Failure, Join, Ruling

from trireme_worker.membership import Seat

RULING_SECONDS = 5.0
"""For the operator's word: it hears of a failure at once, and writes a status before it answers."""
LISTENING_SECONDS = 10.0
"""An operator that has not asked for so long would not hear of it."""
OPERATOR = "the operator's decision"
"""What a held member waits for, in the place of a missing pod's name."""


@dataclass
class _Held:
    failure: Failure
    attempt: int
    until: float
    """Without a ruling it ends then."""
    due: float | None = None
    """When it may join again, once that is ruled."""
    join: Join | None = None
    """It has stopped its processes and asks for its place."""


class Holding:
    """`attempt`: of the job, which made the coordinator's pod."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.number = 0
        """Of the last news that an operator is to hear at once; that a generation ended, the pods' ends say."""
        self._held: dict[str, _Held] = {}
        self._resumed: set[str] = set()
        """Incarnations whose processes were started again in place and have made no step since."""
        self._listened = -math.inf

    def listens(self, now: float) -> None:
        """An operator asks that gives rulings."""
        self._listened = now

    def formed(self) -> None:
        """All are there that were missing."""
        self.number += 1

    def learns(self, attempt: int) -> None:
        self.attempt = max(self.attempt, attempt)

    def steps(self, incarnation: str | None) -> None:
        """A member, or None for all of them, has made a step."""
        if incarnation is None:
            self._resumed.clear()
        else:
            self._resumed.discard(incarnation)

    def hold(self, seat: Seat, failure: Failure, now: float) -> bool:
        """False when the member is to end: its processes failed again without a step, or nobody would answer."""
        incarnation = seat.join.incarnation
        heard = now - self._listened <= LISTENING_SECONDS
        if seat.left or incarnation in self._resumed or not (heard and _may_start_again(failure)):
            return False
        self._held[incarnation] = _Held(failure, self.attempt, now + RULING_SECONDS)
        self.number += 1
        return True

    def holds(self, incarnation: str) -> bool:
        return incarnation in self._held

    def waits(self, incarnation: str) -> bool:
        """Whether it may go on and its pause is not over."""
        held = self._held.get(incarnation)
        return held is not None and held.due is not None

    @property
    def waiting(self) -> bool:
        """Whether somebody does."""
        return any(map(self.waits, self._held))

    def joins(self, join: Join) -> bool:
        """Whether it is held, and its joining has to wait."""
        held = self._held.get(join.incarnation)
        if held is not None:
            held.join = join
        return held is not None

    def replaced(self, join: Join) -> Iterator[tuple[str, Failure]]:
        """Held members whose successor this is; they are held no more."""
        for incarnation, held in list(self._held.items()):
            same_place = (held.failure.role, held.failure.index) == (join.role, join.index)
            if same_place and incarnation != join.incarnation:
                del self._held[incarnation]
                yield incarnation, held.failure

    def rule(self, ruling: Ruling, now: float) -> None:
        """A ruling on a failure that waits no more, or on an earlier one of the same pod, changes nothing."""
        held = self._held.get(ruling.incarnation)
        if held is None or held.attempt != ruling.attempt:
            return
        self.number += 1
        if ruling.next_attempt is None:
            held.until, held.due = now, None
        else:
            held.due = now + ruling.pause_seconds
            self.learns(ruling.next_attempt)

    def ended(self, now: float) -> Iterator[tuple[str, Failure]]:
        """Whose pods are to end."""
        for incarnation, held in list(self._held.items()):
            if held.due is None and now >= held.until:
                del self._held[incarnation]
                yield incarnation, held.failure

    def released(self, now: float) -> Iterator[Join]:
        """Who may join again and has asked to."""
        for incarnation, held in list(self._held.items()):
            if held.due is not None and now >= held.due:
                del self._held[incarnation]
                self._resumed.add(incarnation)
                if held.join is not None:
                    yield held.join

    def first(self) -> wire.Held | None:
        """The first that waits for a ruling."""
        for incarnation, held in self._held.items():
            if held.due is None:
                return wire.Held(incarnation, held.attempt, wire.bounded(held.failure))
        return None


def _may_start_again(failure: Failure) -> bool:
    """A process has ended of itself: not because the command or the environment is wrong, and not for the memory of a
    container of which the kubelet has more to say."""
    kind = exits.describe(failure.exit_code).kind
    return kind in (Kind.ERROR, Kind.SIGNAL) and failure.exit_code != exits.HUNG and failure.reason != exits.OOM_KILLED
