"""The data's position: batches of several epochs that can be taken up in the middle, in the same order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

from trireme_worker.checkpoint import rng


class Batches:
    """The batches of `epochs` passes over a DataLoader; a part of a Training, which resumes it.

    Their order is a function of (seed, epoch) alone: the sampler's `set_epoch` is called, and a loader or a sampler
    that has no generator gets one. After a resume the finished batches of the epoch are loaded and thrown away, so that
    also random augmentation goes on exactly; a data set for which that takes too long needs a loader with a state of
    its own (torchdata's StatefulDataLoader) as a sharded part.
    """

    def __init__(self, loader: Any, epochs: int, seed: int = 0) -> None:
        import torch

        self._loader = loader
        self._epochs = epochs
        self._seed = seed
        self._epoch = 0
        self._done = 0
        """Batches of this epoch that were handed out."""
        self._generator = torch.Generator()
        for drawer in (loader, getattr(loader, "sampler", None)):
            if getattr(drawer, "generator", self) is None:
                drawer.generator = self._generator

    def __len__(self) -> int:
        """Steps in all, from the first epoch on."""
        return self._epochs * len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        while self._epoch < self._epochs:
            for batch in self._rest():
                self._done += 1  # before the loop's body, which saves: then it is trained on
                yield batch
            self._epoch, self._done = self._epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epoch, "done": self._done, "of": len(self._loader), "seed": self._seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """With another number of processes an epoch has another number of batches: then some images come twice."""
        if state["seed"] != self._seed:
            raise ValueError(f"the data were in the order of seed {state['seed']}, and seed is {self._seed} now")
        self._epoch, self._done = state["epoch"], state["done"] * len(self._loader) // state["of"]
        if self._done == len(self._loader):
            self._epoch, self._done = self._epoch + 1, 0

    def seek(self, step: int) -> None:
        """To where it is after so many batches in all."""
        self._epoch, self._done = divmod(step, len(self._loader))

    def _rest(self) -> Iterator[Any]:
        """What is left of the epoch."""
        self._generator.manual_seed(self._seed + self._epoch)
        sampler = getattr(self._loader, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(self._epoch)
        if not self._done:
            return _started(self._loader)
        with rng.kept():
            return _skipped(_started(self._loader), self._done)


def _started(loader: Any) -> Iterator[Any]:
    """The loader's own processes get no SIGTERM: it is sent to the whole group, and they would die before the save."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _skipped(batches: Iterator[Any], number: int) -> Iterator[Any]:
    for _ in range(number):
        next(batches, None)
    return batches
