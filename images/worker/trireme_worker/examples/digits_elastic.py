"""Digits with Horovod, elastic: pods may come, go and die while it trains. The numbered lines are what differs from
digits_horovod.py."""

from __future__ import annotations

import time
from collections.abc import Callable

import horovod.torch as hvd
import torch
from horovod.torch.elastic import ElasticSampler, TorchState, run
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trireme_worker import elastic, report
from trireme_worker.examples import digits

COMMIT_STEPS = 5
"""A step less is lost with a pod, a step more costs a copy of the model and a broadcast."""


def main() -> None:
    args = digits.arguments()
    hvd.init()

    torch.manual_seed(digits.SEED + hvd.rank())
    torch.set_num_threads(1)
    training, test = digits.load()
    model = digits.net()
    optimizer = digits.sgd(model, args.lr, 1)
    optimizer = hvd.DistributedOptimizer(optimizer, model.named_parameters())
    sampler = ElasticSampler(training, seed=digits.SEED)  # 1. deals what is left of an epoch to whoever is there
    state = TorchState(model, optimizer, sampler=sampler, epoch=0, images=0)  # 2. what newcomers are brought to
    elastic.watch(state)  # 3. hears that pods come and go

    start = time.monotonic()
    train(state, training, args.epochs, args.batch_size, rate(args.lr, args.epochs * len(training)))
    if hvd.rank() == 0:
        digits.verdict(digits.accuracy(model, test, torch.device("cpu")), time.monotonic() - start)


def rate(peak: float, images: int) -> Callable[[int], float]:
    """A rise over the first 30% of all images and a fall over the rest, for as many processes as there are."""

    def at(done: int) -> float:
        part = min(1.0, done / images)
        return peak * hvd.size() * max(0.01, part / 0.3 if part < 0.3 else (1 - part) / 0.7)

    return at


@run  # 4. begins again, from the last commit, with every new membership
def train(state: TorchState, data: TensorDataset, epochs: int, batch_size: int, rate: Callable[[int], float]) -> None:
    total = epochs * len(data)
    state.model.train()
    while state.epoch < epochs:
        for number, (images, labels) in enumerate(DataLoader(data, batch_size, sampler=state.sampler)):
            for group in state.optimizer.param_groups:
                group["lr"] = rate(state.images)
            loss = nn.functional.cross_entropy(state.model(images), labels)
            state.optimizer.zero_grad()
            loss.backward()
            state.optimizer.step()
            state.images += batch_size * hvd.size()  # steps of other sizes are other steps: images are what counts
            state.sampler.record_batch(number, batch_size)
            report(step=min(state.images, total), total_steps=total, loss=loss.item(), processes=hvd.size())
            if number % COMMIT_STEPS == COMMIT_STEPS - 1:
                state.commit()  # 5. here members come and go
        state.epoch += 1
        state.sampler.set_epoch(state.epoch)
        state.commit()


if __name__ == "__main__":
    main()
