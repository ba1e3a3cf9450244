"""torch.distributed's allreduce by gloo: a sum in place."""

from __future__ import annotations

import torch
import torch.distributed as dist

from ps_peers import Cell, Place, Step, gradient


def expected(cell: Cell) -> float:
    return float(cell.workers)


def work(place: Place) -> Step:
    store = dist.FileStore(str(place.folder / "gloo"), place.cell.workers)
    dist.init_process_group("gloo", store=store, rank=place.index, world_size=place.cell.workers)
    values = gradient(place.cell)

    def step() -> torch.Tensor:
        dist.all_reduce(values)
        return values

    return step
