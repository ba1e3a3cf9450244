"""A worker's pushes of one table on their way through its filters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from trireme_worker.comm.ps import filters, frame, partition, transport
from trireme_worker.comm.ps.filters import Context, Message, Traffic
from trireme_worker.comm.ps.memory import Bound
from trireme_worker.comm.ps.operation import Request
from trireme_worker.comm.ps.table import Table


class Sieve:
    """`rank`: of this worker, for filters that round at random."""

    def __init__(self, table: Table, rank: int) -> None:
        self._table = table
        self._pipeline = filters.chain(table.filters, rank)
        self._lock = threading.Lock()
        self._values: dict[int, Tensor] = {}

    @property
    def traffic(self) -> Mapping[str, Traffic]:
        return dict(self._pipeline.traffic)

    def remember(self, index: int, bound: Bound) -> None:
        """Keeps the values of a range that were just pulled, where a filter looks at them."""
        if self._pipeline.needs_values:
            self._values[index] = _whole(bound.outgoing(self._table.ranges[index]))

    def remember_rows(self, index: int, rows: Tensor, values: Tensor) -> None:
        """The same for some rows [k, row] of it; the others are taken for zero until they are pulled."""
        if self._pipeline.needs_values:
            if index not in self._values:
                self._values[index] = torch.zeros(len(self._table.ranges[index]))
            self._values[index].view(-1, self._table.row).index_copy_(0, rows, values)

    def dense(self, request: Request) -> None:
        """Replaces a push's body by what the filters leave of it."""
        self._encode(request, Message(None, _whole(request.body)))

    def rows(self, request: Request, rows: Tensor, values: Tensor) -> None:
        request.meta, request.flags = b"", request.flags & ~frame.ROWS
        self._encode(request, Message(rows, values))

    def _encode(self, request: Request, message: Message) -> None:
        table, index = self._table, request.index
        key, size = partition.range_key(table.name, index), len(table.ranges[index])
        context = Context(key, request.number, size, table.row, self._values.get(index))
        with self._lock:
            encoded = self._pipeline.encode(message, context)
        request.flags |= frame.FILTERED
        request.body = _packed(encoded)
        request.whole = self._whole_of(encoded, context)

    def _whole_of(self, encoded: Message, context: Context) -> Callable[[], list[memoryview]]:
        def whole() -> list[memoryview]:
            with self._lock:
                return _packed(self._pipeline.whole(encoded, context))

        return whole


def _packed(message: Message) -> list[memoryview]:
    return transport.views(*filters.pack(message))


def _whole(parts: Sequence[memoryview]) -> Tensor:
    """A copy, float32."""
    data = bytearray().join(parts)
    return torch.frombuffer(data, dtype=torch.float32) if data else torch.empty(0)
