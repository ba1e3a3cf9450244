"""Top-k: only the greatest elements, or rows by their length, are sent; the rest is added to the next gradient.

Sparsified SGD with memory, Stich et al. 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trireme_worker.comm.ps.filters.message import Context
from trireme_worker.comm.ps.filters.select import Select


class TopK(Select):
    def __init__(self, ratio: float = 0.01) -> None:
        """`ratio`: the share that is sent, above 0 and at most 1; at least one element is."""
        super().__init__()
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio is above 0 and at most 1, got {ratio!r:.100}")
        self._ratio = ratio

    def choose(self, values: Tensor, positions: Tensor | None, context: Context) -> Tensor:
        sizes = values.abs().squeeze(1) if values.shape[1] == 1 else values.square().sum(dim=1)
        chosen = torch.zeros(len(sizes), dtype=torch.bool)
        if len(sizes):
            k = max(1, round(self._ratio * len(sizes)))
            chosen[torch.topk(sizes, k, sorted=False).indices] = True  # NaN counts as the greatest: it is not hidden
        return chosen
