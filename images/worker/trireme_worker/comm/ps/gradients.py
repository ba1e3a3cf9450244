"""The gradients of one step as a worker's optimizer sends them: each taken once, whichever ranges it has parts in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class Gradients:
    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self._tensors = list(parameters)
        self._taken: set[int] = set()

    def take(self, wanted: Iterable[int]) -> Sequence[Tensor]:
        """One tensor for each parameter: of the wanted ones the gradient, dense, or zeros where backward made none.

        Whatever for those that nobody has wanted yet.
        """
        for at in wanted:
            if at not in self._taken:
                self._taken.add(at)
                self._tensors[at] = _dense(self._parameters[at])
        return self._tensors


def _dense(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    return parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
