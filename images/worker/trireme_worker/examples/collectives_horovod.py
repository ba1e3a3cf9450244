"""The collectives in Horovod's terms (0.28, gloo or NCCL)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import horovod.torch as hvd
import torch
from torch import Tensor

from trireme_worker.examples import device


class HorovodGroup:
    """Names every operation itself: Horovod's own numbering runs per process, and would part where ranks are members of
    different process sets and have not run equally many operations."""

    def __init__(self, name: str, process_set: hvd.ProcessSet, where: torch.device) -> None:
        self.name, self.ranks, self.rank, self.device = name, process_set.ranks, hvd.rank(), where
        self._set = process_set
        self._names = (f"{name}.{number}" for number in itertools.count())

    def allreduce(self, tensor: Tensor, op: str) -> Tensor:
        return hvd.allreduce(tensor, op=getattr(hvd, op), name=next(self._names), process_set=self._set)

    def grouped_allreduce(self, tensors: list[Tensor]) -> list[Tensor]:
        return hvd.grouped_allreduce(tensors, op=hvd.Sum, name=next(self._names), process_set=self._set)

    def allgather(self, tensor: Tensor) -> Tensor:
        return hvd.allgather(tensor, name=next(self._names), process_set=self._set)

    def broadcast(self, tensor: Tensor, root: int) -> Tensor:
        return hvd.broadcast(tensor, root, name=next(self._names), process_set=self._set)

    def reducescatter(self, tensor: Tensor) -> Tensor:
        return hvd.reducescatter(tensor, op=hvd.Sum, name=next(self._names), process_set=self._set)

    def alltoall(self, tensor: Tensor, splits: list[int]) -> tuple[Tensor, Tensor]:
        rows, received = hvd.alltoall(tensor, splits, name=next(self._names), process_set=self._set)
        return rows, received.long()

    def barrier(self) -> None:
        hvd.barrier(process_set=self._set)


@contextmanager
def groups(sets: Mapping[str, Sequence[int]]) -> Iterator[list[HorovodGroup]]:
    """The whole job and those of `sets` that this rank belongs to."""
    named = {name: hvd.ProcessSet(ranks) for name, ranks in sets.items()}
    hvd.init(process_sets=list(named.values()))  # adding one later would need HOROVOD_DYNAMIC_PROCESS_SETS=1
    where = device.choose(hvd.local_rank(), torch.cuda.is_available() and hvd.nccl_built())
    try:
        members = [HorovodGroup(name, subset, where) for name, subset in named.items() if subset.included()]
        yield [HorovodGroup("all", hvd.global_process_set, where), *members]
    finally:
        hvd.shutdown()
