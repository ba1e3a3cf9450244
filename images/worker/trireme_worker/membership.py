"""Who belongs to a job and when a generation may form. Pure.

The one place that decides it: whoever wants jobs that grow and shrink changes `enough`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product

from trireme.contract import names, topology, wire
from trireme.contract.wire import Failure, Join

from trireme_worker import verdict

Who = tuple[str, int]
"""Role and index."""


@dataclass(frozen=True)
class Terms:
    """What the coordinator was told at its start."""

    replicas: int
    """Worker pods; their slots are the ranks."""
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


@dataclass
class Seat:
    join: Join
    heard: float
    done: bool = False
    """All its ranks have ended well."""
    left: bool = False
    gone: bool = False
    """Its pod is lost and a successor is awaited."""
    failure: Failure | None = None


def everybody(terms: Terms) -> Iterator[Who]:
    return chain(
        product([names.ROLE_WORKER], range(terms.replicas)), product([names.ROLE_SERVER], range(terms.servers))
    )


def enough(terms: Terms, present: Collection[Who]) -> bool:
    """Whether those who have joined make a generation."""
    return len(present) == terms.replicas + terms.servers


def belongs(terms: Terms, join: Join) -> bool:
    """Ranks are the workers': a server has no slot, a worker at least one."""
    if join.role == names.ROLE_SERVER:
        return 0 <= join.index < terms.servers and join.slots == 0
    return join.role == names.ROLE_WORKER and 0 <= join.index < terms.replicas and join.slots > 0


def in_order(terms: Terms, joins: Iterable[Join]) -> list[Join]:
    """The workers in the order of their ranks: neighbours in the network side by side.

    Independent ones by index alone, because a successor on another node must get its predecessor's ranks.
    """
    workers = {join.index: join for join in joins if join.role == names.ROLE_WORKER}
    if terms.independent:
        return [workers[index] for index in sorted(workers)]
    seats = (topology.Seat(join.index, join.node, join.domain) for join in workers.values())
    return [workers[index] for index in topology.ring(seats)]
