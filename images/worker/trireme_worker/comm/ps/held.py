"""The tensors of one range on a server: its values, the optimizer's state, the values before the last step. No clocks.

Values that are lent (they are being sent, or saved) are never written: an update that finds readers goes elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trireme_worker.comm.ps import functions, state
from trireme_worker.comm.ps.buffers import Buffers
from trireme_worker.comm.ps.functions import OutOfPlace, Update
from trireme_worker.comm.ps.table import Table


@dataclass(frozen=True, slots=True)
class Total:
    """What the pushes of an update add up to: flat float32, or [k, row] with `rows`."""

    gradient: Tensor
    rows: Tensor | None = None
    scale: float = 1.0
    """The gradient counts so many times: a part of the sum, for a mean."""
    own: bool = False
    """Its memory is the range's, to be used again."""


class Held:
    def __init__(self, table: Table, elements: int, buffers: Buffers) -> None:
        self.values: Tensor | None = None
        """None until a worker initialises the table."""
        self.state: dict[str, Tensor] = {}
        self.previous: Tensor | None = None
        """The values before the last update, until the next step begins in the same memory."""
        self._row = table.row
        self._elements = elements
        self._function = functions.create(table.function)
        self._buffers = buffers
        self._readers = 0
        self._previous_readers = 0

    def begin(self, values: Tensor) -> None:
        """Raises BadFunction."""
        self.install(values, state.begun(self._function, values))

    def install(self, values: Tensor, state: dict[str, Tensor]) -> None:
        self.values, self.state, self.previous = values, state, None
        self._readers = self._previous_readers = 0

    def lend(self) -> Tensor:
        """The values, which stay as they are until they are given back."""
        assert self.values is not None
        self._readers += 1
        return self.values

    def give_back(self, values: Tensor) -> None:
        """Lent values were sent."""
        if values is self.values:
            self._readers -= 1
        elif values is self.previous:
            self._previous_readers -= 1

    def room(self) -> Tensor:
        """For the sum of a new step: the memory of the values before the last one, which nobody can need any more."""
        room, self.previous = self.previous, None
        return self._buffers.take(self._elements) if room is None or self._previous_readers else room

    def free(self, room: Tensor) -> None:
        self._buffers.give(room)

    def update(self, total: Total, context: Update, remember: bool, keep: bool = False) -> bool:
        """Applies the function. `remember`: the values before it. `keep`: the gradient, scaled, as it is.

        True when the gradient's memory has become that of the values. Raises what a user's function raises.
        """
        if remember and total.own and total.rows is None and not keep and self._moved(total, context):
            return True
        if total.scale != 1:
            total.gradient.mul_(total.scale)
        self._remember(remember)
        self._apply(total, context)
        return False

    def _moved(self, total: Total, context: Update) -> bool:
        """The new values take the memory of the gradient that made them; the old ones are kept without a copy."""
        if self.values is None or not isinstance(self._function, OutOfPlace):
            return False
        if not self._function.moved(self.values, total.gradient, total.scale, context):
            return False
        if self.previous is not None:
            self.free(self.room())
        self.previous, self._previous_readers = self.values, self._readers
        self.values, self._readers = total.gradient, 0
        return True

    def _remember(self, wanted: bool) -> None:
        if self.previous is not None and not wanted:
            self.free(self.room())
        elif wanted and self.values is not None:
            self.previous, self._previous_readers = self.room().copy_(self.values), 0

    def _apply(self, total: Total, context: Update) -> None:
        assert self.values is not None
        if self._readers:
            self.values, self._readers = self.values.clone(), 0
        if total.rows is None:
            self._function.apply(self.values, total.gradient, self.state, context)
        elif total.rows.numel():
            shaped = self.values.view(-1, self._row)
            self._function.apply_rows(shaped, total.rows, total.gradient, self.state, context)


def summed(gradient: Tensor | None, rows: list[tuple[Tensor, Tensor]], row: int) -> tuple[Tensor, Tensor | None]:
    """Dense and row-sparse pushes of one step in one: (gradient, rows), in the dense one's memory if there is one."""
    if not rows:
        assert gradient is not None
        return gradient, None
    indices = torch.cat([indices for indices, _ in rows])
    values = torch.cat([values for _, values in rows])
    if gradient is None:
        indices, values = functions.coalesce(indices, values)
        return values, indices
    gradient.view(-1, row).index_add_(0, indices, values)
    return gradient, None
