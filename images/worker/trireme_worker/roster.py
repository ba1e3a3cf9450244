"""Who has a seat in the generation, who had one in the last, and who never comes back. No I/O and no clock."""

from __future__ import annotations

from trireme.contract import exits, names, wire
from trireme.contract.wire import Beat, Failure, State

from trireme_worker import membership
from trireme_worker.membership import Seat, Terms, Who


class NotAMember(ValueError):
    """The sender has no place in this generation; the text says why."""


class Roster:
    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.seats: dict[Who, Seat] = {}
        self.former: dict[Who, Seat] = {}
        """Of the generation that has ended, while the next one forms; those that failed are not among them."""
        self.retired: dict[str, Failure] = {}
        """Incarnations that never come back, and why."""

    def missing(self) -> tuple[str, ...]:
        """Names of the pods without a seat."""
        return membership.missing(self._terms, {who for who, seat in self.seats.items() if not seat.gone})

    def holds(self, who: Who, incarnation: str) -> bool:
        """Whether this pod has the seat."""
        return who in self.seats and self.seats[who].holds(incarnation)

    def silent(self, now: float, seconds: float) -> list[Who]:
        limit = now - seconds
        return [who for who, seat in self.seats.items() if seat.heard < limit and not (seat.left or seat.gone)]

    def silenced(self, now: float) -> dict[str, float]:
        """The last ones: whatever becomes of their pods, they are not heard any more."""
        silent = [(each, why.at) for each, why in self.retired.items() if why.reason == exits.POD_SILENT]
        return {each: float(int(now - at)) for each, at in silent[-wire.MISSING_MAX :]}

    def all_left(self, now: float, but: Who) -> bool:
        """Whether every member of the generation but one has had its last orders or has fallen silent."""
        limit = now - self._terms.silence_seconds
        return all(
            who == but or seat.left or seat.heard < limit or (seat.gone and seat.join.incarnation)
            for who, seat in self.seats.items()
        )

    def all_heard(self, but: Who) -> bool:
        """Whether every member of the last generation but one knows that it has ended."""
        return all(who == but or seat.left or who in self.seats for who, seat in self.former.items())

    def give_up(self, incarnation: str, failure: Failure) -> None:
        """Of a member of the last generation that was to be one of the next: nobody waits for it any longer."""
        self.retired[incarnation] = failure
        who = failure.role, failure.index
        if who in self.former and self.former[who].holds(incarnation):
            del self.former[who]

    def beat_forming(self, who: Who, beat: Beat, now: float) -> None:
        """While a generation forms nothing is learned from a beat but that its sender lives, or leaves: its place is
        free for a successor. Raises NotAMember."""
        seat, former = self.seats.get(who), self.former.get(who)
        known = former is not None and former.holds(beat.incarnation)
        mine = seat is not None and seat.holds(beat.incarnation)
        if not (known or mine or beat.incarnation in self.retired):
            raise NotAMember(f"{names.pod_label(*who)} has not joined")
        if beat.state is State.LEFT:
            if mine:
                del self.seats[who]
            if known and former is not None:
                former.left = True
        elif former is not None and known:
            former.heard = now
        elif not known and beat.incarnation not in self.retired:
            raise NotAMember(f"{names.pod_label(*who)} is in no generation yet")
