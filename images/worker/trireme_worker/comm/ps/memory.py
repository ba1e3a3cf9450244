"""Where the elements of a table lie in the memory of a worker, as bytes that sockets read and write in place.

A table is made of one tensor or several, one behind the other. Dense float32 tensors of the CPU are used as they are;
all others (CUDA, half precision, strided) go through a staging buffer, pinned for tensors of a GPU. Copies from and to
a GPU are made on the current streams of the thread that asks, and are over when it has them: a socket never reads, or
writes, a buffer that a GPU still uses.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.partition import Range
from trireme_worker.comm.ps.table import ITEM_BYTES

Tensors = Tensor | Sequence[Tensor]


def tensors(like: Tensors | Sequence[int]) -> list[Tensor]:
    """Of a table: the one, the several, or zeros of a shape."""
    if isinstance(like, Tensor):
        return [like]
    items = list(like)
    if items and all(isinstance(item, Tensor) for item in items):
        return items  # type: ignore[return-value]
    return [torch.zeros([int(size) for size in items])]  # type: ignore[arg-type]


def check_real(tensors: Sequence[Tensor]) -> None:
    """Raises ParameterServerError for complex ones, of which float32 would hold one half."""
    if any(tensor.is_complex() for tensor in tensors):
        raise ParameterServerError("tables are float32 and have no complex tensors: use torch.view_as_real of them")


def data(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, shared with it."""
    if not tensor.numel():
        return memoryview(b"")
    # `detach` gives other threads a turn, and so must wait for its own
    return memoryview((tensor.detach() if tensor.requires_grad else tensor).numpy()).cast("B")


def direct(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32 and tensor.is_contiguous()


class Layout:
    """Which part of which tensor each element of a table is. `sizes`: elements of each tensor."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = list(sizes)
        self._starts = [0, *accumulate(sizes)]

    @property
    def length(self) -> int:
        return self._starts[-1]

    def pieces(self, part: Range) -> list[tuple[int, int, int]]:
        """(tensor, first element, end) of each tensor that has a part of the range."""
        at = bisect.bisect_right(self._starts, part.start) - 1
        found = []
        while at < len(self._starts) - 1 and self._starts[at] < part.stop:
            first = max(part.start, self._starts[at]) - self._starts[at]
            end = min(part.stop, self._starts[at + 1]) - self._starts[at]
            if end > first:
                found.append((at, first, end))
            at += 1
        return found

    def range_of(self, tensor: int) -> Range:
        return Range(self._starts[tensor], self._starts[tensor + 1])


class Staging:
    """A buffer for those tensors of a table that sockets cannot use; made when first needed."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._buffer: Tensor | None = None

    def part(self, tensor: int, first: int, end: int, pinned: bool) -> Tensor:
        """For these elements of a tensor. `pinned`: when the buffer is made for tensors of a GPU."""
        if self._buffer is None:
            self._buffer = torch.empty(self.layout.length, dtype=torch.float32, pin_memory=pinned)
        start = self.layout.range_of(tensor).start
        return self._buffer[start + first : start + end]


class Bound:
    """The tensors of one operation as bytes: their own, or those of a staging buffer."""

    def __init__(self, tensors: Sequence[Tensor], staging: Staging) -> None:
        self._tensors = tensors
        self._staging = staging
        self._views: dict[int, memoryview | None] = {}
        self._staged = False

    def outgoing(self, part: Range) -> list[memoryview]:
        """The bytes of a range, copied where they must be."""
        found = []
        for at, first, end in self._staging.layout.pieces(part):
            view = self._view(at)
            if view is None:
                staged = self._part(at, first, end)
                staged.copy_(self._tensors[at].detach().reshape(-1)[first:end])
                found.append(data(staged))
            else:
                found.append(view[first * ITEM_BYTES : end * ITEM_BYTES])
        return found

    def incoming(self, part: Range) -> list[memoryview]:
        """Where the bytes of a range belong; `land` brings the staged ones home."""
        found = []
        for at, first, end in self._staging.layout.pieces(part):
            view = self._view(at)
            if view is None:
                found.append(data(self._part(at, first, end)))
            else:
                found.append(view[first * ITEM_BYTES : end * ITEM_BYTES])
        return found

    def land(self, part: Range) -> None:
        if not self._staged:
            return
        with torch.no_grad():
            for at, first, end in self._staging.layout.pieces(part):
                if self._view(at) is None:
                    _flat(self._tensors[at], first, end, self._part(at, first, end))

    def _part(self, at: int, first: int, end: int) -> Tensor:
        return self._staging.part(at, first, end, self._pinned)

    @cached_property
    def _pinned(self) -> bool:
        """Asked for where something is staged: a range of a table of many tensors is not to cost as many looks."""
        return any(tensor.is_cuda for tensor in self._tensors)

    def _view(self, at: int) -> memoryview | None:
        """All bytes of a tensor; None: it is staged."""
        if at not in self._views:
            tensor = self._tensors[at]
            self._views[at] = data(tensor) if direct(tensor) else None
            self._staged = self._staged or self._views[at] is None
        return self._views[at]


def _flat(tensor: Tensor, first: int, end: int, values: Tensor) -> None:
    """Writes elements of a tensor in the order of its indices, whatever its strides."""
    if tensor.is_contiguous():
        tensor.view(-1)[first:end].copy_(values)
    else:
        flat = tensor.reshape(-1)
        flat[first:end].copy_(values)
        tensor.copy_(flat.view(tensor.shape))
