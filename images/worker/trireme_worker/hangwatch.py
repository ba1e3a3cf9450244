"""Whether the job makes no step any more, and who holds it up: the way to a culprit. Pure (docs/adr/0015).

Steps count from a rank's first report. Before that a rank imports, downloads and compiles; after the last of its total
steps it evaluates, saves and exits. Nobody knows for how long: for either it has `long_seconds`. Where no process of
the job can show a stack, none of them imports `trireme_worker`, so that none will ever report: nobody is blamed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from trireme.contract.wire import Stand

from trireme_worker import hang
from trireme_worker.hang import Culprit, Inquiry
from trireme_worker.membership import Seat, Terms, Who
from trireme_worker.pace import Pace

LONG_FACTOR = 10
"""So many times `hang_seconds` for the first report and for what follows the last step,"""
LONG_SECONDS = 600.0
"""and so long at least: models are downloaded and kernels compiled, test sets gone through and files uploaded."""


class HangWatch:
    def __init__(self, terms: Terms, pace: Pace) -> None:
        self._seconds, self._each = terms.hang_seconds, terms.independent
        self._long_seconds = terms.long_seconds or max(LONG_FACTOR * terms.hang_seconds, LONG_SECONDS)
        self._pace = pace
        self._inquiry: Inquiry | None = None
        self._quiet_since = 0.0
        """When what is to begin was last seen to be in order: a rank was done, or nobody could be blamed."""

    @property
    def asking(self) -> bool:
        return self._inquiry is not None

    def asks(self, who: Who) -> bool:
        """Whether a member is to say where its ranks are."""
        return self._inquiry is not None and who in self._inquiry.awaited

    def answer(self, who: Who, stands: dict[int, Stand]) -> None:
        if self._inquiry is not None:
            self._inquiry.answer(who, stands)

    def done(self, now: float) -> None:
        """Some ranks have ended well: those that are left have their time from now on."""
        self._quiet_since = now

    def stop(self) -> None:
        """The generation has ended."""
        self._inquiry = None

    def look(self, holders: Mapping[int, Who], seats: Mapping[Who, Seat], now: float) -> Culprit | None:
        """None while the job steps, or its members are being asked."""
        if not self._seconds:
            return None
        training = [rank for rank, who in holders.items() if not (seats[who].done or seats[who].gone)]
        if self._inquiry is not None and self._inquiry.closed(now):
            awaited, stands = self._inquiry.awaited, self._inquiry.stands
            running = [rank for rank in training if rank in stands or holders[rank] in awaited]
            self._pace.done(set(training) - set(running))
            training = running
        slow = {rank for rank in training if now - seats[holders[rank]].seated >= self._long_seconds}
        self._pace.give_up(slow)
        overdue = self._pace.overdue(now, self._patience, each=self._each)
        unbegun = training if not overdue and self._none_begins(training, slow, now) else []
        if not (overdue or unbegun):
            self._inquiry = None
        elif self._inquiry is None:
            self._inquiry = Inquiry(now, {holders[rank] for rank in training})
        elif self._inquiry.closed(now):
            begin = [rank for rank, who in holders.items() if not seats[who].done and self._pace.step(rank) is None]
            return self._close(overdue, training, slow, begin, now)
        return None

    def _patience(self, rank: int) -> float:
        """Seconds that it may go without a further step."""
        return self._long_seconds if self._pace.at_end(rank) else self._seconds

    def _none_begins(self, training: Collection[int], slow: set[int], now: float) -> bool:
        """Whether nobody who is still to report has, for too long. Where only rank 0 reports, the others do not count
        while it trains."""
        quiet = now - self._quiet_since >= self._long_seconds
        return bool(training) and quiet and slow.issuperset(training) and not self._pace.any_active

    def _close(
        self, overdue: Collection[int], training: list[int], slow: set[int], begin: list[int], now: float
    ) -> Culprit | None:
        assert self._inquiry is not None
        stands, self._inquiry = self._inquiry.stands, None
        if not overdue:
            self._quiet_since = now
            known = any(stand.where or stand.stopped for stand in stands.values())
            return hang.culprit(training, stands, self._pace.step, self._long_seconds) if known else None
        seconds = min(map(self._patience, overdue))
        found = hang.culprit(overdue if self._each else training, stands, self._pace.step, seconds)
        self._pace.excuse(now)
        if not (self._each and hang.waits(found.rank, stands)):
            return found
        awaited = [rank for rank in begin if rank != found.rank and not hang.waits(rank, stands)]
        if not awaited:
            return found
        late = slow.intersection(awaited)  # else successors that start, or are still to come
        return hang.culprit(late, stands, self._pace.step, self._long_seconds) if late else None
