"""The gradients of one step as a worker's optimizer sends them: each taken once, whichever ranges it has parts in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class Gradients:
    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self._tensors = list(parameters)
        self._taken: dict[int, tuple[Tensor | None, int]] = {}
        """Of each parameter that was wanted, its gradient and the version of it; autograd counts changes in place."""

    def take(self, wanted: Iterable[int]) -> Sequence[Tensor]:
        """One tensor for each parameter: of the wanted ones the gradient, dense, or zeros where backward made none.

        Whatever for those that nobody has wanted yet.
        """
        for at in wanted:
            if at not in self._taken:
                self._taken[at] = _version(self._parameters[at])
                self._tensors[at] = _dense(self._parameters[at])
        return self._tensors

    @property
    def changed(self) -> bool:
        """Whether one is another now than when it was taken: written to, replaced, or gone."""
        for at, (gradient, version) in self._taken.items():
            now, present = _version(self._parameters[at])
            if now is not gradient or present != version:
                return True
        return False


def _version(parameter: Tensor) -> tuple[Tensor | None, int]:
    gradient = parameter.grad
    return gradient, 0 if gradient is None else gradient._version


def _dense(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    return parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
