"""Digits with a parameter server. The numbered lines are all that makes a script for one process data parallel."""

from __future__ import annotations

import torch

import trireme_worker.comm.ps as ps
from trireme_worker.examples import digits


def main() -> None:
    args = digits.arguments()
    ps.init()  # 1. meet the servers and the other workers

    torch.manual_seed(digits.SEED + ps.rank())
    training, test = digits.load()
    loader = digits.batches(training, args.batch_size, ps.rank(), ps.size())  # 2. to each rank its share of the data
    model = digits.net()
    optimizer = digits.sgd(model, args.lr, 1)  # except in Sync, each worker's push is a step of its own
    ps.broadcast_parameters(model.state_dict(), root_rank=0)  # 3. all start from rank 0's weights
    optimizer = ps.DistributedOptimizer(
        optimizer, named_parameters=model.named_parameters()
    )  # 4. servers take the steps

    seconds = digits.train(model, optimizer, loader, args.epochs, torch.device("cpu"))
    if ps.rank() == 0:
        digits.verdict(digits.accuracy(model, test, torch.device("cpu")), seconds)
    ps.shutdown()


if __name__ == "__main__":
    main()
