"""Digits with Horovod. The numbered lines are all that makes a script for one process data parallel."""

from __future__ import annotations

import horovod.torch as hvd
import torch

from trireme_worker.examples import device, digits


def main() -> None:
    args = digits.arguments()
    hvd.init()  # 1. meet the other processes
    where = device.choose(hvd.local_rank(), torch.cuda.is_available() and hvd.nccl_built())

    torch.manual_seed(digits.SEED + hvd.rank())
    training, test = digits.load()
    loader = digits.batches(training, args.batch_size, hvd.rank(), hvd.size())  # 2. to each rank its share of the data
    model = digits.net().to(where)
    optimizer = digits.sgd(model, args.lr, hvd.size())
    hvd.broadcast_parameters(model.state_dict(), root_rank=0)  # 3. all start from rank 0's weights
    hvd.broadcast_optimizer_state(optimizer, root_rank=0)  # 4. and from its optimizer
    optimizer = hvd.DistributedOptimizer(optimizer, model.named_parameters())  # 5. every step takes the mean gradient

    seconds = digits.train(model, optimizer, loader, args.epochs, where)
    if hvd.rank() == 0:  # all ranks hold the same model: one of them is judge enough
        digits.verdict(digits.accuracy(model, test, where), seconds)


if __name__ == "__main__":
    main()
