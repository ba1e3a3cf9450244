"""Who belongs to a job, when a generation may form, and when it should make place for others. Pure (docs/adr/0017)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, filterfalse, islice, product

from trireme.contract import names, topology, wire
from trireme.contract.ranks import places
from trireme.contract.wire import Failure, Generation, Join, Member

from trireme_worker import verdict

Who = tuple[str, int]
"""Role and index."""
NOBODY = -1
"""Index of a member that only keeps a place."""

FIRST_SETTLE_SECONDS = 10.0
"""Without a newcomer, before an elastic job starts with fewer pods than were wanted."""
SETTLE_SECONDS = 3.0
"""The same after a failure: the lost pod's successor may be here soon, and saves another interruption."""
GROW_SECONDS = 20.0
"""A generation lives at least so long before newcomers end it."""


@dataclass(frozen=True)
class Limits:
    """Of an elastic job."""

    minimum: int
    """Workers that are enough."""
    maximum: int
    """Workers that may join."""
    first_settle_seconds: float = FIRST_SETTLE_SECONDS
    settle_seconds: float = SETTLE_SECONDS
    grow_seconds: float = GROW_SECONDS


@dataclass(frozen=True)
class Terms:
    """What the coordinator was told at its start."""

    replicas: int
    """Worker pods; their slots are the ranks. Of an elastic job, as many as were wanted when the coordinator's pod was
    made: with those it starts at once."""
    join_seconds: float
    servers: int = 0
    """Server pods: they join, hold no rank and end when the workers are done."""
    restarts: bool = False
    """A failure ends the generation and the pod that failed; else it ends the job's pods, all of them."""
    independent: bool = False
    """With `restarts`: a failure ends nothing but the pod that failed, whose successor takes its place and ranks."""
    first: int = 0
    """Generations have higher numbers. The attempt that made the coordinator's pod will do: members know the numbers
    of earlier generations, and where no member is left, every one of these cost an attempt."""
    hang_seconds: float = 0.0
    """0: no time without a step is too long."""
    silence_seconds: float = wire.SILENCE_SECONDS
    settle_seconds: float = verdict.SETTLE_SECONDS
    quiet_seconds: float = verdict.QUIET_SECONDS
    limits: Limits | None = None
    """None: the job is not elastic."""
    long_seconds: float = 0.0
    """For the first report, and for what follows the last step; 0: as long as hangwatch.py gives."""

    @property
    def most(self) -> int:
        """Workers that may join."""
        return self.limits.maximum if self.limits else self.replicas


@dataclass
class Seat:
    join: Join
    heard: float
    done: bool = False
    """All its ranks have ended well."""
    left: bool = False
    gone: bool = False
    """Its pod is lost and a successor is awaited."""
    place: int = -1
    """Its position among independent members of an elastic job; -1: none yet."""
    rigid: bool = False
    """Its processes would not hear of a newcomer."""
    seated: float = 0.0
    """Since when it is a member of the generation."""
    failure: Failure | None = None
    finished: tuple[int, ...] = ()
    """Its ranks that have ended well."""

    def holds(self, incarnation: str) -> bool:
        return self.join.incarnation == incarnation


def everybody(terms: Terms) -> Iterator[Who]:
    return chain(
        product([names.ROLE_WORKER], range(terms.replicas)), product([names.ROLE_SERVER], range(terms.servers))
    )


def missing(terms: Terms, present: Collection[Who]) -> tuple[str, ...]:
    """Names of the pods that are not there: the first ones, and how many more."""
    absent = filterfalse(present.__contains__, everybody(terms))
    shown = [names.pod_label(*who) for who in islice(absent, wire.MISSING_MAX)]
    more = terms.replicas + terms.servers - len(present) - len(shown)
    return (*shown, f"{more} more") if more > 0 else tuple(shown)


def unknown(terms: Terms, worker: Join) -> Iterator[tuple[Who, Join]]:
    """Members of which nothing has been heard, in a job that `worker` belongs to."""
    for role, index in everybody(terms):
        slots = worker.slots if role == names.ROLE_WORKER else 0
        yield (
            (role, index),
            replace(worker, role=role, index=index, slots=slots, incarnation="", address="", hostname=""),
        )


@dataclass(frozen=True)
class Gathering:
    """How the forming of a generation stands."""

    present: Collection[Who]
    awaited: bool = False
    """Members of the last generation live and have not joined yet."""
    quiet_seconds: float = 0.0
    """Since somebody new has joined."""
    wanted: int = 0
    """Workers that would be all; others are waited for a while."""
    settle_seconds: float = 0.0
    """How long."""


def enough(terms: Terms, gathering: Gathering) -> bool:
    """Whether those who have joined make a generation.

    Of an elastic job: the minimum is there, every member of the last generation that lives, and either as many as are
    wanted or nobody new for a while.
    """
    here = len(gathering.present)
    if terms.limits is None:
        return here == terms.replicas + terms.servers
    servers = sum(role == names.ROLE_SERVER for role, _ in gathering.present)
    workers = here - servers
    if workers < terms.limits.minimum or servers < terms.servers or gathering.awaited:
        return False
    return workers >= gathering.wanted or gathering.quiet_seconds >= gathering.settle_seconds


def all_done(terms: Terms, seats: Mapping[Who, Seat]) -> bool:
    """Whether all workers are; an elastic job does not wait for those that are lost."""
    workers = [seat for (role, _), seat in seats.items() if role == names.ROLE_WORKER]
    here = [seat for seat in workers if not (seat.gone and terms.limits)]
    return bool(here) and all(seat.done for seat in here)


def belongs(terms: Terms, join: Join) -> bool:
    """Ranks are the workers': a server has no slot, a worker at least one."""
    if join.role == names.ROLE_SERVER:
        return 0 <= join.index < terms.servers and join.slots == 0
    return join.role == names.ROLE_WORKER and 0 <= join.index < terms.most and join.slots > 0


def stranger(terms: Terms, join: Join) -> str:
    """What to say of one that does not belong."""
    servers = f" and {terms.servers} servers" if terms.servers else ""
    name = names.pod_label(join.role, join.index)
    return f"{name} with {join.slots} slots is none of {terms.most} workers{servers}"


def in_order(terms: Terms, joins: Iterable[Join]) -> list[Join]:
    """The workers in the order of their ranks: neighbours in the network side by side.

    Independent ones by index alone, because a successor on another node must get its predecessor's ranks. Where
    processes go on from the last generation, the oldest come first: the others are brought to rank 0's state.
    """
    workers = {join.index: join for join in joins if join.role == names.ROLE_WORKER}
    if terms.independent:
        return [workers[index] for index in sorted(workers)]
    seats = (topology.Seat(join.index, join.node, join.domain) for join in workers.values())
    return sorted((workers[index] for index in topology.ring(seats)), key=_age)


def in_places(seats: Iterable[Seat]) -> list[Join]:
    """The independent workers of an elastic job in the order of their ranks: each keeps its place for good, and a
    newcomer gets the first free one. What is vacant is filled with a member that nobody is."""
    workers = sorted((s for s in seats if s.join.role == names.ROLE_WORKER), key=lambda seat: seat.join.index)
    taken = {seat.place: seat for seat in workers if seat.place >= 0}
    free = (place for place in count() if place not in taken)
    for seat in workers:
        if taken.get(seat.place) is not seat:
            seat.place = next(free)
    by_place = {seat.place: seat.join for seat in workers}
    nobody = replace(workers[0].join, index=NOBODY, incarnation="", address="", hostname="")
    return [by_place.get(place, nobody) for place in range(max(by_place) + 1)]


def generation(number: int, joins: Sequence[Join], attempt: int) -> Generation:
    """Of workers in the order of their ranks, at least one."""
    members = tuple(Member(join.role, join.index, join.slots, join.address, join.hostname) for join in joins)
    return Generation(number, members, joins[0].address, joins[0].store_port, attempt)


def holders(generation: Generation) -> dict[int, Who]:
    """Whose each rank is; ranks in places that nobody has are left out."""
    placed = zip(generation.members, places([member.slots for member in generation.members]), strict=True)
    return {
        place.rank: (member.role, member.index) for member, mine in placed for place in mine if member.index != NOBODY
    }


def finished(holders: Mapping[int, Who], seats: Mapping[Who, Seat]) -> tuple[int, ...]:
    """Ranks that have ended well and do not run again."""
    return tuple(rank for rank, who in sorted(holders.items()) if seats[who].done or rank in seats[who].finished)


def _age(join: Join) -> tuple[bool, int]:
    return (not join.since, join.since)
