"""The collectives in torch.distributed's terms (gloo or NCCL).

Where torch lacks one, it is put together from those it has: gloo refuses an all_gather of uneven tensors, and
all_to_all_single wants to be told what it will receive.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from trireme_worker.examples import device

OPS = {
    "Sum": dist.ReduceOp.SUM,
    "Average": dist.ReduceOp.AVG,
    "Min": dist.ReduceOp.MIN,
    "Max": dist.ReduceOp.MAX,
    "Product": dist.ReduceOp.PRODUCT,
}


class TorchGroup:
    """torch works in place; these functions leave their input as it is, as Horovod's do."""

    def __init__(self, name: str, group: dist.ProcessGroup, where: torch.device) -> None:
        self.name, self.rank, self.device = name, dist.get_rank(), where
        self.ranks = dist.get_process_group_ranks(group)
        self._group = group

    def allreduce(self, tensor: Tensor, op: str) -> Tensor:
        result = tensor.clone()
        dist.all_reduce(result, OPS[op], group=self._group)
        return result

    def grouped_allreduce(self, tensors: list[Tensor]) -> list[Tensor]:
        results = [tensor.clone() for tensor in tensors]
        for work in [dist.all_reduce(result, group=self._group, async_op=True) for result in results]:
            work.wait()
        return results

    def allgather(self, tensor: Tensor) -> Tensor:
        counts = self._gather(torch.tensor([len(tensor)], device=self.device))
        longest = int(max(counts))
        padded = torch.zeros(longest, *tensor.shape[1:], dtype=tensor.dtype, device=self.device)
        padded[: len(tensor)] = tensor
        return torch.cat([rows[:count] for rows, count in zip(self._gather(padded), counts, strict=True)])

    def broadcast(self, tensor: Tensor, root: int) -> Tensor:
        result = tensor.clone()
        dist.broadcast(result, src=root, group=self._group)
        return result

    def reducescatter(self, tensor: Tensor) -> Tensor:
        shares = [share.contiguous() for share in tensor.tensor_split(len(self.ranks))]
        result = torch.empty_like(shares[self.ranks.index(self.rank)])
        dist.reduce_scatter(result, shares, group=self._group)
        return result

    def alltoall(self, tensor: Tensor, splits: list[int]) -> tuple[Tensor, Tensor]:
        received = torch.empty(len(splits), dtype=torch.int64, device=self.device)
        dist.all_to_all_single(received, torch.tensor(splits, device=self.device), group=self._group)
        result = tensor.new_empty(int(received.sum()), *tensor.shape[1:])
        dist.all_to_all_single(result, tensor, received.tolist(), splits, group=self._group)
        return result, received

    def barrier(self) -> None:
        dist.barrier(group=self._group)

    def _gather(self, tensor: Tensor) -> list[Tensor]:
        results = [torch.empty_like(tensor) for _ in self.ranks]
        dist.all_gather(results, tensor, group=self._group)
        return results


@contextmanager
def groups(sets: Mapping[str, Sequence[int]]) -> Iterator[list[TorchGroup]]:
    """The whole job and those of `sets` that this rank belongs to. Every rank must take part in making every group."""
    where = device.choose(int(os.environ["LOCAL_RANK"]), torch.cuda.is_available())
    dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        made = {name: dist.new_group(list(ranks)) for name, ranks in sets.items()}
        members = [TorchGroup(name, made[name], where) for name, ranks in sets.items() if dist.get_rank() in ranks]
        yield [TorchGroup("all", dist.group.WORLD, where), *members]
    finally:
        dist.destroy_process_group()
