"""Some rows of a table: int64 indices beside the rows themselves."""

from __future__ import annotations

import torch
from torch import Tensor


def coalesce(rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in ascending order, each once, with the sum of its values: rows int64 [k], values [k, ...]."""
    if rows.numel() < 2 or bool((rows[1:] > rows[:-1]).all()):
        return rows, values
    unique, place = torch.unique(rows, return_inverse=True)
    return unique, values.new_zeros((unique.numel(), *values.shape[1:])).index_add_(0, place, values)
