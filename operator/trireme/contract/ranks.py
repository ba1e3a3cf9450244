"""Rank arithmetic: from the slots of each member to the place of each process.

Horovod's words. rank: 0..size-1 over all processes, dense, member by member. local rank: within the member. cross rank:
among the processes of the same local rank, one a member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where one process stands in the job."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    cross_rank: int
    cross_size: int
    group_rank: int
    """Position of the process's member in the membership (torchrun's GROUP_RANK)."""
    group_size: int


def places(slots: Sequence[int]) -> tuple[tuple[Place, ...], ...]:
    """Places of every process, outer index: member, inner index: local rank.

    `slots[m]` is the number of processes of member m; members may differ. Raises ValueError when a member has none.
    """
    if any(count < 1 for count in slots):
        raise ValueError(f"every member needs at least one slot, got {list(slots)}")
    size = sum(slots)
    cross_sizes = [sum(count > local for count in slots) for local in range(max(slots, default=0))]
    seen = [0] * len(cross_sizes)
    rank = 0
    members = []
    for group_rank, count in enumerate(slots):
        member = []
        for local in range(count):
            member.append(Place(rank, size, local, count, seen[local], cross_sizes[local], group_rank, len(slots)))
            seen[local] += 1
            rank += 1
        members.append(tuple(member))
    return tuple(members)
