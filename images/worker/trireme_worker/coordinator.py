"""The coordinator's state machine: who is a member, when a generation forms, how it ends. No I/O and no clock.

Forming -> Running -> Done | Failed. Every method takes `now`: Unix time by a clock that never goes back. The wire's
service (service.py) is its only caller; what it decides is read from `joined`, `orders` and `report`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from itertools import chain, filterfalse, islice, product

from trireme.contract import exits, names, topology, wire
from trireme.contract.wire import (
    Beat,
    Failure,
    Generation,
    JobReport,
    Join,
    Joined,
    Member,
    Order,
    Orders,
    Phase,
    State,
)

from trireme_worker import verdict

RATE_SECONDS = 30.0
"""Window of `steps_per_second`: long enough for slow steps, short enough to show a change."""


class NotAMember(ValueError):
    """The sender has no place in this generation; the text says why."""


@dataclass(frozen=True)
class Terms:
    """What the coordinator was told at its start."""

    replicas: int
    """Worker pods; their slots are the ranks."""
    join_seconds: float
    servers: int = 0
    """Server pods: they join, hold no rank and end when the workers are done."""
    silence_seconds: float = wire.SILENCE_SECONDS
    settle_seconds: float = verdict.SETTLE_SECONDS


Who = tuple[str, int]
"""Role and index."""


@dataclass
class _Seat:
    join: Join
    heard: float
    state: State = State.RUNNING
    failure: Failure | None = None


@dataclass
class _Pace:
    """The lowest reporting rank's progress, and how fast it moves."""

    rank: int | None = None
    progress: wire.Progress | None = None
    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, rank: int, progress: wire.Progress, now: float) -> None:
        if self.rank is not None and rank > self.rank:
            return
        if rank != self.rank or (self.progress is not None and progress.step < self.progress.step):
            self.samples.clear()
        self.rank, self.progress = rank, progress
        self.samples.append((now, progress.step))
        while self.samples[0][0] < now - RATE_SECONDS and len(self.samples) > 2:
            self.samples.popleft()

    def steps_per_second(self) -> float | None:
        if len(self.samples) < 2:
            return None
        (start, first), (end, last) = self.samples[0], self.samples[-1]
        return (last - first) / (end - start) if end > start else None


class Coordinator:
    def __init__(self, terms: Terms, now: float) -> None:
        self._terms = terms
        self._deadline = now + terms.join_seconds
        self._seats: dict[Who, _Seat] = {}
        self._failures: list[Failure] = []
        self._verdict_at: float | None = None
        self._pace = _Pace()
        self.phase = Phase.FORMING
        self.generation: Generation | None = None
        self.failure: Failure | None = None
        """The verdict, once the phase is Failed."""

    def join(self, join: Join, now: float) -> None:
        """Idempotent. Raises NotAMember for a pod that the job does not have."""
        who = join.role, join.index
        if not self._expected(join):
            terms = self._terms
            servers = f" and {terms.servers} servers" if terms.servers else ""
            raise NotAMember(
                f"{names.pod_label(*who)} with {join.slots} slots is none of {terms.replicas} workers{servers}"
            )
        seat = self._seats.get(who)
        if seat is not None and seat.join.incarnation == join.incarnation:
            seat.heard = now
        elif self.phase is Phase.FORMING:
            self._seats[who] = _Seat(join, now)
            if len(self._seats) == self._terms.replicas + self._terms.servers:
                self._form(now)
        elif self.phase is Phase.RUNNING:
            self._lost(who, exits.POD_REPLACED, "another pod of this name came while the job ran", now)

    def joined(self) -> Joined:
        """What a joining member hears."""
        return Joined(self.generation if self.failure is None else None, self._missing_names(), _brief(self.failure))

    def beat(self, beat: Beat, now: float) -> None:
        """Raises NotAMember when another pod holds the place, or the generation is another one."""
        who = beat.role, beat.index
        seat = self._seats.get(who)
        number = self.generation.number if self.generation is not None else 0
        if seat is None or seat.join.incarnation != beat.incarnation:
            raise NotAMember(f"{names.pod_label(*who)} has not joined")
        if beat.generation != number:
            raise NotAMember(f"generation {beat.generation} is not the present one, {number}")
        if self.phase is Phase.FORMING:
            del self._seats[who]  # only a goodbye comes before a generation: the place is free for a successor
            return
        seat.heard, seat.state = now, beat.state
        for rank, progress in beat.progress.items():
            self._pace.add(rank, progress, now)
        if beat.failure is not None and beat.failure != seat.failure:
            seat.failure = beat.failure
            self._failed(beat.failure, now)
        elif all(seat.state in (State.DONE, State.LEFT) for seat in self._workers()) and not self._failures:
            self.phase = Phase.DONE

    def orders(self) -> Orders:
        """What every member is to do."""
        if self.phase is Phase.DONE:
            return Orders(Order.FINISH)
        if self.phase is Phase.FAILED:
            return Orders(Order.STOP, _brief(self.failure))
        return Orders(Order.CONTINUE)

    def tick(self, now: float) -> None:
        """What happens by time alone: members fall silent, the verdict settles, the joining ends."""
        if self.phase is Phase.FORMING:
            self._forget_silent(now)
            if now >= self._deadline:
                self._never_formed(now)
        elif self.phase is Phase.RUNNING:
            for who in self._silent(now):
                seconds = self._terms.silence_seconds
                self._lost(who, exits.POD_SILENT, f"the pod has not been heard of for {seconds:g} s", now)
            if self._verdict_at is not None and now >= self._verdict_at:
                self.phase, self.failure = Phase.FAILED, verdict.root(self._failures)

    def deserted(self, now: float, but: Who) -> bool:
        """Whether every member except `but` has left or fallen silent: the coordinator may go."""
        gone = set(self._silent(now))
        return all(who == but or who in gone or seat.state is State.LEFT for who, seat in self._seats.items())

    def report(self) -> JobReport:
        return JobReport(
            phase=self.phase,
            generation=self.generation.number if self.generation is not None else 0,
            missing=self._missing_names(),
            progress=self._pace.progress,
            steps_per_second=self._pace.steps_per_second(),
            failure=self.failure,
        )

    def _form(self, now: float) -> None:
        seats = (topology.Seat(seat.join.index, seat.join.node, seat.join.domain) for seat in self._workers())
        joins = [self._seats[names.ROLE_WORKER, index].join for index in topology.ring(seats)]
        members = tuple(Member(j.role, j.index, j.slots, j.address, j.hostname) for j in joins)
        self.generation = Generation(1, members, joins[0].address, joins[0].store_port)
        self.phase = Phase.RUNNING
        for seat in self._seats.values():
            seat.heard = now

    def _failed(self, failure: Failure, now: float) -> None:
        self._failures.append(failure)
        if self._verdict_at is None:
            self._verdict_at = now + self._terms.settle_seconds

    def _lost(self, who: Who, reason: str, message: str, now: float) -> None:
        seat = self._seats[who]
        if seat.failure is None:
            seat.failure = _failure(who, exits.COORDINATOR_LOST, reason, message, now)
            self._failed(seat.failure, now)

    def _silent(self, now: float) -> list[Who]:
        limit = now - self._terms.silence_seconds
        return [who for who, seat in self._seats.items() if seat.heard < limit and seat.state is not State.LEFT]

    def _forget_silent(self, now: float) -> None:
        for who in self._silent(now):
            del self._seats[who]

    def _never_formed(self, now: float) -> None:
        who = ", ".join(self._missing_names())
        message = f"{who} never joined within {self._terms.join_seconds:g} s"
        self.phase = Phase.FAILED
        first, reason = (names.ROLE_WORKER, 0), exits.describe(exits.PEER_MISSING).reason
        self.failure = _failure(first, exits.PEER_MISSING, reason, message, now)

    def _missing_names(self) -> tuple[str, ...]:
        workers, servers = self._terms.replicas, self._terms.servers
        everybody = chain(product([names.ROLE_WORKER], range(workers)), product([names.ROLE_SERVER], range(servers)))
        absent = filterfalse(self._seats.__contains__, everybody)
        shown = [names.pod_label(*who) for who in islice(absent, wire.MISSING_MAX)]
        more = workers + servers - len(self._seats) - len(shown)
        return (*shown, f"{more} more") if more else tuple(shown)

    def _expected(self, join: Join) -> bool:
        """Ranks are the workers': a server has no slot, a worker at least one."""
        if join.role == names.ROLE_SERVER:
            return 0 <= join.index < self._terms.servers and join.slots == 0
        return join.role == names.ROLE_WORKER and 0 <= join.index < self._terms.replicas and join.slots > 0

    def _workers(self) -> list[_Seat]:
        return [seat for (role, _), seat in self._seats.items() if role == names.ROLE_WORKER]


def _failure(who: Who, code: int, reason: str, message: str, now: float) -> Failure:
    """A failure that the coordinator found itself."""
    return Failure(*who, code, reason, message, at=now)


def _brief(failure: Failure | None) -> Failure | None:
    """Without the log, which only the failing pod and the operator need."""
    return replace(failure, log_tail=()) if failure is not None else None
