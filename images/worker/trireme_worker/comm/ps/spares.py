"""Buffers for sums of pushes, shared by all ranges of a server. The one given back last, still cached, is next."""

from __future__ import annotations

import torch
from torch import Tensor


class Spares:
    """Safe from any thread: each call is one operation on a list."""

    def __init__(self) -> None:
        self._free: dict[int, list[Tensor]] = {}

    def take(self, elements: int) -> Tensor:
        """Flat float32 with anything in it."""
        try:
            return self._free[elements].pop()
        except (KeyError, IndexError):
            return torch.empty(elements)

    def give(self, buffer: Tensor) -> None:
        """Nobody reads or writes it any more."""
        self._free.setdefault(buffer.numel(), []).append(buffer)
