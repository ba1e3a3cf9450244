"""Where the elements of a table lie in the memory of a worker, as bytes that sockets read and write in place.

A table is made of one tensor or several, one behind the other. Dense float32 tensors of the CPU are used as they are;
all others (CUDA, half precision, strided) go through a staging buffer, pinned where there is a GPU.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

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


def data(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, shared with it."""
    return memoryview(tensor.detach().numpy()).cast("B") if tensor.numel() else memoryview(b"")


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
        self._layout = layout
        self._buffer: Tensor | None = None

    def outgoing(self, tensors: Sequence[Tensor], part: Range) -> list[memoryview]:
        """The bytes of a range, copied where they must be."""
        found = []
        for at, first, end in self._layout.pieces(part):
            tensor = tensors[at]
            if direct(tensor):
                found.append(data(tensor)[first * ITEM_BYTES : end * ITEM_BYTES])
            else:
                staged = self._staged(at, first, end)
                staged.copy_(tensor.detach().reshape(-1)[first:end])
                found.append(data(staged))
        return found

    def incoming(self, tensors: Sequence[Tensor], part: Range) -> list[memoryview]:
        """Where the bytes of a range belong; `land` brings the staged ones home."""
        return [
            data(tensors[at])[first * ITEM_BYTES : end * ITEM_BYTES]
            if direct(tensors[at])
            else data(self._staged(at, first, end))
            for at, first, end in self._layout.pieces(part)
        ]

    def land(self, tensors: Sequence[Tensor], part: Range) -> None:
        with torch.no_grad():
            for at, first, end in self._layout.pieces(part):
                if not direct(tensors[at]):
                    _flat(tensors[at], first, end, self._staged(at, first, end))

    def _staged(self, tensor: int, first: int, end: int) -> Tensor:
        if self._buffer is None:
            pinned = torch.cuda.is_available()
            self._buffer = torch.empty(self._layout.length, dtype=torch.float32, pin_memory=pinned)
        start = self._layout.range_of(tensor).start
        return self._buffer[start + first : start + end]


def _flat(tensor: Tensor, first: int, end: int, values: Tensor) -> None:
    """Writes elements of a tensor in the order of its indices, whatever its strides."""
    if tensor.is_contiguous():
        tensor.view(-1)[first:end].copy_(values)
    else:
        flat = tensor.reshape(-1)
        flat[first:end].copy_(values)
        tensor.copy_(flat.view(tensor.shape))
