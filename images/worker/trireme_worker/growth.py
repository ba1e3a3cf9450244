"""How an elastic job grows and shrinks: who waits for its next generation, and when the present one makes room. Pure.

Made for every job; one that is not elastic has no newcomers and never makes room (docs/adr/0017).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from trireme.contract.wire import Join

from trireme_worker.membership import Gathering, Seat, Terms, Who


class Growth:
    def __init__(self, terms: Terms, now: float) -> None:
        self._terms = terms
        self._newcomers: dict[Who, Seat] = {}
        """They wait for the next generation."""
        self._wanted = terms.replicas
        self._settle = terms.limits.first_settle_seconds if terms.limits else 0.0
        self._news_at = now
        """When somebody new joined last."""
        self._formed_at = now
        self._asked_at: float | None = None
        """When the first member said that its processes had lost a peer, though no failure is known."""

    def come(self, who: Who, join: Join, now: float) -> None:
        """A newcomer to an elastic job that runs."""
        self.joins(who, join, self._newcomers, now)
        self._newcomers[who] = Seat(join, now)

    def joins(self, who: Who, join: Join, seats: Mapping[Who, Seat], now: float) -> None:
        """Somebody new is news, somebody who asks again is none."""
        if who not in seats or not seats[who].holds(join.incarnation):
            self._news_at = now

    def waits(self, join: Join) -> bool:
        waiting = self._newcomers.get((join.role, join.index))
        return waiting is not None and waiting.holds(join.incarnation)

    def resumes(self) -> None:
        """A new coordinator has learned that members run: it is no first start."""
        if self._terms.limits and self._terms.independent:
            self._settle = self._terms.limits.settle_seconds

    def gathering(self, seats: Mapping[Who, Seat], former: Mapping[Who, Seat], now: float) -> Gathering:
        limit = now - self._terms.silence_seconds
        awaited = any(who not in seats and not seat.left and seat.heard >= limit for who, seat in former.items())
        return Gathering(seats, awaited, now - self._news_at, self._wanted, self._settle)

    def admits(self, seats: Mapping[Who, Seat]) -> dict[Who, Seat]:
        """Who of those that have joined is in the next generation: where ranks are done already, whoever comes would
        wait for them in vain."""
        if not any(seat.done for seat in seats.values()):
            return dict(seats)
        self._newcomers |= {who: seat for who, seat in seats.items() if not seat.join.generation}
        return {who: seat for who, seat in seats.items() if seat.join.generation}

    def formed(self, now: float) -> None:
        self._formed_at, self._asked_at = now, None

    def asks(self, now: float) -> None:
        if self._asked_at is None:
            self._asked_at = now

    def ended(self, now: float, wanted: int, settle: float) -> dict[Who, Seat]:
        """Who has joined the next generation already. `wanted`: workers that are waited for `settle` seconds."""
        newcomers, self._newcomers = self._newcomers, {}
        self._wanted, self._settle, self._news_at = wanted, settle, now
        return newcomers

    def due(self, seats: Collection[Seat], now: float, *, busy: bool) -> bool:
        """Whether the generation is to end without a failure: for newcomers, unless the job is `busy`, or because its
        processes have lost each other."""
        limits = self._terms.limits
        if limits is None or self._terms.independent:
            return False
        for who in [who for who, seat in self._newcomers.items() if seat.heard < now - self._terms.silence_seconds]:
            del self._newcomers[who]
        if self._asked_at is not None and now >= self._asked_at + self._terms.settle_seconds:
            return True
        grown = now >= self._formed_at + limits.grow_seconds and now >= self._news_at + limits.settle_seconds
        ready = not (busy or any(seat.rigid or seat.done for seat in seats))
        return bool(self._newcomers) and grown and ready
