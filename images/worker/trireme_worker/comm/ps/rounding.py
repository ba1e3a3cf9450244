"""What servers send, rounded: the answers of a table that has a `pull_filter`. Others go past this untouched.

Rounding keeps nothing for the next time, so that an answer may be lost or come twice. Selecting filters do: what a
puller already has would have to be known for each of its ranges, on whichever server has them next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from trireme_worker.comm.ps import filters, memory, transport
from trireme_worker.comm.ps.errors import BadFrame
from trireme_worker.comm.ps.filters import Context, Message

ITEM_BYTES = 4
FILTERS: Mapping[str, str | Mapping[str, Any]] = {
    "fp16": "fp16",
    "bf16": "bf16",
    "int8": {"name": "int8", "rounding": "nearest"},
}


def pack(name: str, values: Tensor) -> list[memoryview]:
    """The body of an answer."""
    message = filters.chain([FILTERS[name]]).encode(Message(None, values.reshape(-1)), _context(values.numel()))
    return transport.views(*filters.pack(message))


def unpack(name: str, body: bytes, into: Sequence[memoryview]) -> None:
    """Writes float32 where an answer belongs. Raises BadFrame."""
    size = sum(len(part) for part in into)
    try:
        packed = filters.unpack(bytearray(body))
        message = filters.chain([FILTERS[name]]).decode(packed, _context(size // ITEM_BYTES))
    except filters.BadMessage as error:
        raise BadFrame(f"an answer cannot be unpacked: {error}") from error
    data, at = memory.data(message.values), 0
    for part in into:
        part[:] = data[at : at + len(part)]
        at += len(part)


def _context(size: int) -> Context:
    return Context("an answer", 0, size, 1)
