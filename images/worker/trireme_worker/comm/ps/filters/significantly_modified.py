"""Significantly modified: what has changed little since it was last sent waits for more (OSDI'14, 3.7)."""

from __future__ import annotations

from torch import Tensor

from trireme_worker.comm.ps.filters.message import Context
from trireme_worker.comm.ps.filters.select import Select


class SignificantlyModified(Select):
    def __init__(self, threshold: float) -> None:
        """`threshold`: in the unit of the gradient, at least 0. A row is sent when any of its elements passes it."""
        super().__init__()
        if not 0 <= threshold < float("inf"):
            raise ValueError(f"threshold is at least 0, got {threshold!r:.100}")
        self._threshold = threshold

    def choose(self, values: Tensor, positions: Tensor | None, context: Context) -> Tensor:
        return ~(values.abs() <= self._threshold).all(dim=1)  # so that NaN passes
