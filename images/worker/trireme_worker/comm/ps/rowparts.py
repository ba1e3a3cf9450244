"""Rows of a table, sorted by the ranges that they lie in. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trireme_worker.comm.ps.table import Table


@dataclass(frozen=True)
class RowsPart:
    """The rows of one range."""

    index: int
    rows: Tensor
    """Within the range, int64."""
    places: Tensor
    """Where they stand in what the user gave."""
    values: Tensor


def split(table: Table, rows: Tensor, values: Tensor) -> list[RowsPart]:
    """By ranges, each once, those without rows too."""
    order = torch.argsort(rows, stable=True)
    ordered = rows[order]
    values = values.detach().to("cpu", torch.float32)
    bounds = torch.tensor([part.start // table.row for part in table.ranges] + [table.length // table.row])
    cuts = torch.searchsorted(ordered, bounds).tolist()
    return [
        RowsPart(
            index,
            (ordered[cuts[index] : cuts[index + 1]] - bounds[index]).contiguous(),
            order[cuts[index] : cuts[index + 1]],
            values[order[cuts[index] : cuts[index + 1]]].contiguous(),
        )
        for index in range(len(table.ranges))
    ]
