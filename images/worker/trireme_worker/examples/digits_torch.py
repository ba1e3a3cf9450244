"""Digits with torch alone. The numbered lines are all that makes a script for one process data parallel."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from trireme_worker.examples import device, digits


def main() -> None:
    args = digits.arguments()
    where = device.choose(int(os.environ["LOCAL_RANK"]), torch.cuda.is_available())
    dist.init_process_group("nccl" if where.type == "cuda" else "gloo")  # 1. meet the other processes
    rank, size = dist.get_rank(), dist.get_world_size()

    torch.manual_seed(digits.SEED + rank)
    training, test = digits.load()
    loader = digits.batches(training, args.batch_size, rank, size)  # 2. to each rank its share of the data
    model = digits.net().to(where)
    parallel = DistributedDataParallel(model)  # 3. all start from rank 0's weights, every step takes the mean gradient
    optimizer = digits.sgd(model, args.lr, size)

    seconds = digits.train(parallel, optimizer, loader, args.epochs, where)
    if rank == 0:  # all ranks hold the same model: one of them is judge enough
        digits.verdict(digits.accuracy(model, test, where), seconds)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
