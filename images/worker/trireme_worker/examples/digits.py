"""What both digits examples share: the data, the net, the training loop, the judge.

Nothing here talks to another process: data parallel training changes the set-up, not the loop.
scikit-learn brings 1,797 handwritten digits of 8x8 pixels inside its package, so nothing is downloaded. They are read
from its file: importing scikit-learn would cost every process another second at every start.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from trireme_worker import checkpoint, report

Batches = DataLoader[tuple[torch.Tensor, torch.Tensor]]

SEED = 0
SAVING = checkpoint.Policy(every_seconds=2)
TARGET = 0.95
"""Test accuracy below which a run has failed; sound training reaches about 0.99."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train a small convolutional net on scikit-learn's digits, data parallel over the job's processes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epochs", type=positive(int), default=15, help="passes over the training images")
    parser.add_argument("--batch-size", type=positive(int), default=16, help="images per process and step")
    parser.add_argument("--lr", type=positive(float), default=0.03, help="peak learning rate per process")
    return parser.parse_args(argv)


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not (number := kind(text)) > 0:
            raise argparse.ArgumentTypeError(f"must be greater than 0, got {text}")
        return number

    parse.__name__ = kind.__name__  # argparse says "invalid int value"
    return parse


def load() -> tuple[TensorDataset, TensorDataset]:
    """1,437 images to train on and 360 to judge by, the same on every rank: float32 [1, 8, 8] in 0..1, int64 labels."""
    file = importlib.metadata.distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = torch.from_numpy(numpy.loadtxt(str(file), delimiter=",", dtype=numpy.float32))  # 64 pixels, the label
    images, labels = table[:, :-1].view(-1, 1, 8, 8) / 16, table[:, -1].long()
    train, test = torch.randperm(len(table), generator=torch.Generator().manual_seed(SEED)).tensor_split([1437])
    return TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test])


def batches(data: TensorDataset, batch_size: int, rank: int, size: int) -> Batches:
    """The share of `rank`. All ranks get equally many batches: where images do not divide, a few are dealt twice."""
    return DataLoader(data, batch_size, sampler=DistributedSampler(data, num_replicas=size, rank=rank, seed=SEED))


def net() -> nn.Module:
    """[N, 1, 8, 8] images -> [N, 10] logits, 9,930 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(), nn.Linear(512, 10),
    )  # fmt: skip


def sgd(model: nn.Module, lr: float, size: int) -> Optimizer:
    """N processes make a batch N times as large and take a step N times as long (Goyal et al. 2017, linear scaling)."""
    return SGD(model.parameters(), lr=lr * size, momentum=0.9, weight_decay=1e-4)


class OneCycle(OneCycleLR):
    """Goes on with another number of processes: there are other steps then, and the same part of them is done."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        done = state["last_epoch"] * self.total_steps // state["total_steps"]
        own = {"total_steps": self.total_steps, "_schedule_phases": self._schedule_phases}
        super().load_state_dict({**state, **own, "last_epoch": done, "_step_count": done + 1})


def train(model: nn.Module, optimizer: Optimizer, loader: Batches, epochs: int, device: torch.device) -> float:
    """One rise and fall of the learning rate over all epochs; every step is reported. Returns the seconds it took.

    With a checkpoint directory it goes on where an interrupted training was saved, and ends with the same weights.
    """
    torch.set_num_threads(1)  # the net is so small that a second thread would only take a core from another rank
    start = time.monotonic()
    total = epochs * len(loader)
    rate = optimizer.param_groups[0]["lr"]
    schedule = OneCycle(optimizer, max_lr=rate, total_steps=total, cycle_momentum=False)
    data = checkpoint.Batches(loader, epochs)
    training = checkpoint.Training(model=model, optimizer=optimizer, schedule=schedule, data=data, policy=SAVING)
    step = training.resume()
    report(step=schedule.last_epoch, total_steps=total)
    for images, labels in data:
        loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        step += 1
        report(step=schedule.last_epoch, total_steps=total, loss=loss.item())
        training.step(step)
    training.finish(step)
    return time.monotonic() - start


@torch.no_grad()
def accuracy(model: nn.Module, data: TensorDataset, device: torch.device) -> float:
    """Share of `data` that the model names rightly, 0..1."""
    images, labels = (tensor.to(device) for tensor in data.tensors)
    model.eval()
    return (model(images).argmax(dim=1) == labels).float().mean().item()


def verdict(accuracy: float, seconds: float) -> None:
    """Reports the accuracy. Raises SystemExit, which makes the job fail, when it is below TARGET."""
    report(accuracy=accuracy)
    print(f"trained in {seconds:.1f} s, test accuracy {accuracy:.4f}", flush=True)
    if accuracy < TARGET:
        raise SystemExit(f"test accuracy {accuracy:.4f} is below {TARGET}: the model has not learned")
