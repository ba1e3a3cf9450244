"""What each collective must give, in closed form. It calls a `Group` and knows neither Horovod nor torch.distributed.

Every input is a formula of the rank, so every rank can tell the right answer without asking the others. The numbers are
small whole ones, so that float32 holds them exactly in jobs of up to two thousand ranks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

REDUCTIONS = ("Sum", "Average", "Min", "Max", "Product")
FLOATS = (torch.float32, torch.float64)
WHOLES = (torch.int32, torch.int64)
LINGER = 0.1
"""Seconds by which one rank comes late to the barrier."""


class Group(Protocol):
    """Ranks that run collectives together (Horovod's process set), as one of them sees it."""

    name: str
    rank: int
    """Of this process, in the whole job."""
    ranks: Sequence[int]
    """All members, ascending."""
    device: torch.device

    def allreduce(self, tensor: Tensor, op: str) -> Tensor: ...
    def grouped_allreduce(self, tensors: list[Tensor]) -> list[Tensor]:
        """Sums, several tensors in one go."""

    def allgather(self, tensor: Tensor) -> Tensor:
        """All members' rows in rank order; members may bring different numbers of rows."""

    def broadcast(self, tensor: Tensor, root: int) -> Tensor:
        """`root` is a rank in the whole job."""

    def reducescatter(self, tensor: Tensor) -> Tensor:
        """This member's rows of the sum; where they do not divide, lower ranks get one more."""

    def alltoall(self, tensor: Tensor, splits: list[int]) -> tuple[Tensor, Tensor]:
        """`splits[i]` rows go to member i. Returns the rows received and how many came from each member."""

    def barrier(self) -> None: ...


@dataclass(frozen=True)
class Check:
    op: str
    group: str
    sample: Tensor
    """What this rank puts in (the first of several): type and size for the table."""
    run: Callable[[], Sequence[Tensor]]
    expected: Sequence[Tensor]


def checks(group: Group) -> Iterator[Check]:
    """Every collective with what this rank must get from it. All members must run all of them, in this order."""
    for op in REDUCTIONS:
        for dtype in FLOATS if op == "Average" else FLOATS + WHOLES:
            yield _allreduce(group, op, 1_000, dtype)
    for elements in (1, 1 << 20):
        yield _allreduce(group, "Sum", elements, torch.float32)
    yield _grouped_allreduce(group)
    yield _allgather(group)
    yield _broadcast(group)
    yield _reducescatter(group)
    yield _alltoall(group)
    yield _barrier(group)


def mismatch(expected: Sequence[Tensor], got: Sequence[Tensor]) -> str | None:
    """The first difference in words, or None. Floats may differ by rounding (an average multiplies by 1/n)."""
    if len(expected) != len(got):
        return f"expected {len(expected)} tensors, got {len(got)}"
    for number, (want, have) in enumerate(zip(expected, (tensor.cpu() for tensor in got), strict=True)):
        where = f"tensor {number}" if len(expected) > 1 else "result"
        if (want.shape, want.dtype) != (have.shape, have.dtype):
            return f"{where}: expected {list(want.shape)} {want.dtype}, got {list(have.shape)} {have.dtype}"
        wrong = ~torch.isclose(have, want, rtol=1e-6, atol=0) if want.is_floating_point() else have != want
        if wrong.any():
            at = wrong.nonzero()[0].tolist()
            count = f"{int(wrong.sum())} of {wrong.numel()} elements differ"
            return f"{where}{at}: expected {want[tuple(at)].item()}, got {have[tuple(at)].item()} ({count})"
    return None


def ramp(elements: int, dtype: torch.dtype) -> Tensor:
    """1 2 3 4 5 6 7 1 2 3 ... : an element in the wrong place shows."""
    return (torch.arange(elements) % 7 + 1).to(dtype)


def _allreduce(group: Group, op: str, elements: int, dtype: torch.dtype) -> Check:
    """Rank r brings ramp * (r + 1). Product would overflow: there each element is 1 on all ranks but one."""
    pattern = ramp(elements, dtype)
    factors = [rank + 1 for rank in group.ranks]
    mine = pattern * (group.rank + 1)
    if op == "Product":
        owners = torch.arange(elements) % len(group.ranks)
        mine = torch.where(owners == group.ranks.index(group.rank), pattern, torch.ones_like(pattern))
    expected = {
        "Sum": pattern * sum(factors),
        "Average": pattern * (sum(factors) / len(factors)),
        "Min": pattern * factors[0],
        "Max": pattern * factors[-1],
        "Product": pattern,
    }[op]
    given = mine.to(group.device)
    return Check(f"allreduce {op}", group.name, given, lambda: [group.allreduce(given, op)], [expected])


def _grouped_allreduce(group: Group) -> Check:
    patterns = [ramp(elements, torch.float32) for elements in (1_000, 1, 64)]
    given = [(pattern * (group.rank + 1)).to(group.device) for pattern in patterns]
    expected = [pattern * sum(rank + 1 for rank in group.ranks) for pattern in patterns]
    return Check("grouped allreduce", group.name, given[0], lambda: group.grouped_allreduce(given), expected)


def _allgather(group: Group) -> Check:
    """Rank r brings 1, 2 or no rows, each filled with r."""

    def rows(rank: int) -> Tensor:
        return torch.full(((rank + 1) % 3, 5), rank, dtype=torch.float32)

    given = rows(group.rank).to(group.device)
    expected = torch.cat([rows(rank) for rank in group.ranks])
    return Check("allgather, uneven", group.name, given, lambda: [group.allgather(given)], [expected])


def _broadcast(group: Group) -> Check:
    pattern = ramp(1_000, torch.int64)
    given = (pattern * (group.rank + 1)).to(group.device)
    expected = [pattern * (root + 1) for root in group.ranks]
    return Check(
        "broadcast, every root",
        group.name,
        given,
        lambda: [group.broadcast(given, root) for root in group.ranks],
        expected,
    )


def _reducescatter(group: Group) -> Check:
    """One row more than divides evenly, so that the first member's share is the largest."""
    size = len(group.ranks)
    pattern = ramp((2 * size + 1) * 3, torch.float32).reshape(-1, 3)
    given = (pattern * (group.rank + 1)).to(group.device)
    total = pattern * sum(rank + 1 for rank in group.ranks)
    expected = total.tensor_split(size)[group.ranks.index(group.rank)]
    return Check("reducescatter, uneven", group.name, given, lambda: [group.reducescatter(given)], [expected])


def _alltoall(group: Group) -> Check:
    """From rank s to rank d go 0 to 2 rows that hold s * 1000 + d."""

    def parcel(source: int, target: int) -> Tensor:
        return torch.full(((source + 2 * target + 1) % 3,), source * 1000 + target, dtype=torch.int64)

    sent = [parcel(group.rank, target) for target in group.ranks]
    received = [parcel(source, group.rank) for source in group.ranks]
    given = torch.cat(sent).to(group.device)
    expected = [torch.cat(received), torch.tensor([len(rows) for rows in received])]
    return Check(
        "alltoall, uneven", group.name, given, lambda: group.alltoall(given, [len(rows) for rows in sent]), expected
    )


def _barrier(group: Group) -> Check:
    """One rank lingers between two barriers: whoever is through both sooner than that has not waited for it."""

    def waited() -> list[Tensor]:
        start = time.monotonic()
        group.barrier()
        if group.rank == group.ranks[-1]:
            time.sleep(LINGER)
        group.barrier()
        return [torch.tensor(time.monotonic() - start >= LINGER)]

    return Check("barrier", group.name, torch.tensor(True), waited, [torch.tensor(True)])
