"""Tensors that are free again, kept for the next one who needs their size."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

KEPT = 16
"""Of each size: as many as are in use at once on a server of a few connections."""


class Buffers:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[int, list[Tensor]] = {}

    def take(self, elements: int) -> Tensor:
        """Flat float32, with anything in it."""
        with self._lock:
            free = self._free.get(elements)
            if free:
                return free.pop()
        return torch.empty(elements)

    def give(self, tensor: Tensor) -> None:
        """Nobody else may hold it."""
        with self._lock:
            free = self._free.setdefault(tensor.numel(), [])
            if len(free) < KEPT:
                free.append(tensor)
