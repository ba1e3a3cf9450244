"""Rows of a table, sorted by the ranges that they lie in. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trireme_worker.comm.ps.errors import ParameterServerError
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


def checked(table: Table, rows: Tensor, shape: Sequence[int]) -> Tensor:
    """The rows, on the CPU. `shape`: of their values. Raises ParameterServerError for what are none of this table."""
    count = table.length // table.row
    if rows.dtype != torch.int64 or rows.dim() != 1 or tuple(shape) != (len(rows), table.row):
        raise ParameterServerError(
            f"table {table.name!r}: rows must be int64 [k] and values [k, {table.row}], "
            f"got {rows.dtype} {list(rows.shape)} and {list(shape)}"
        )
    rows = rows.cpu()
    if len(rows) and not (int(rows.min()) >= 0 and int(rows.max()) < count):
        raise ParameterServerError(
            f"table {table.name!r} has rows 0 to {count - 1}, got {int(rows.min())} to {int(rows.max())}"
        )
    return rows


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


def empty(table: Table, indices: Iterable[int]) -> list[RowsPart]:
    """No rows of these ranges."""
    nothing, values = torch.empty(0, dtype=torch.int64), torch.empty(0, table.row)
    return [RowsPart(index, nothing, nothing, values) for index in indices]
