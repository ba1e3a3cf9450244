"""The order of a job's members, from which all ranks follow: neighbours in the ring are neighbours in the network.

A ring allreduce sends from each rank to the next, so members of one node stand together, and so do the nodes of one
topology domain. Nodes and domains come in the order of their lowest index: worker 0 is first, and where each pod has
a node of its own and no domain is known, ranks follow the indices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Seat:
    """Where a member's pod runs."""

    index: int
    """Within its role; unique."""
    node: str
    domain: str = ""
    """Zone or rack of the node; empty: not known."""


def ring(seats: Iterable[Seat]) -> tuple[int, ...]:
    """The members' indices in the order of their ranks."""
    by_index = sorted(seats, key=lambda seat: seat.index)
    domain_of: dict[str, str] = {}
    node_first: dict[str, int] = {}
    domain_first: dict[str, int] = {}
    for seat in by_index:
        domain = domain_of.setdefault(seat.node, seat.domain)
        node_first.setdefault(seat.node, seat.index)
        domain_first.setdefault(domain, seat.index)
    ordered = sorted(by_index, key=lambda s: (domain_first[domain_of[s.node]], node_first[s.node], s.index))
    return tuple(seat.index for seat in ordered)
