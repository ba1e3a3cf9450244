"""A message as bytes and back: a versioned, bounded list of named tensors and numbers. Nothing is unpickled.

    header   <magic 4s> <version u8> <parts u8> <length of all of the header u16>
    a part   <name length u8> <kind u8> <dimensions u8> name, then each dimension u64, or the number itself (8 bytes)
    data     of each tensor in turn, beginning at a multiple of 16

Everything is little endian. What a header says must add up to the length of the message exactly.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trireme_worker.comm.ps.filters.message import BadMessage, Extra, Message

MAGIC, VERSION = b"TrMs", 1
PARTS_MAX, NAME_MAX, DIMENSIONS_MAX, BYTES_MAX = 16, 32, 2, 2**40
HEADER_MAX = 8 + PARTS_MAX * (3 + NAME_MAX + 8 * DIMENSIONS_MAX)
ALIGNMENT = 16
Buffer = bytes | bytearray | memoryview

_HEAD, _PART = struct.Struct("<4sBBH"), struct.Struct("<BBB")
_FLOAT, _INT = 0, 1
_DTYPES = {
    2: torch.float32,
    3: torch.float16,
    4: torch.bfloat16,
    5: torch.int8,
    6: torch.uint8,
    7: torch.int32,
    8: torch.int64,
}
_KINDS = {dtype: kind for kind, dtype in _DTYPES.items()}


def pack(message: Message) -> list[Buffer]:
    """The message as buffers to be sent one after the other; those of tensors are the tensors' own memory (CPU only).

    Raises ValueError for a message that cannot be said: too many extras, a type or a shape that is not in the format.
    """
    parts: list[tuple[str, Extra]] = [("values", message.values)]
    if message.indices is not None:
        parts.append(("indices", _narrow(message.indices)))
    parts += message.extras.items()
    if len(parts) > PARTS_MAX or {"values", "indices"} & message.extras.keys():
        raise ValueError(
            f"a message has at most {PARTS_MAX} parts, and no extra named values or indices: {list(message.extras)}"
        )
    described = b"".join(_describe(name, part) for name, part in parts)
    header = _HEAD.pack(MAGIC, VERSION, len(parts), _HEAD.size + len(described)) + described
    buffers: list[Buffer] = [header]
    length = len(header)
    for _, part in parts:
        if isinstance(part, Tensor):
            buffers += [bytes(-length % ALIGNMENT), _memory(part)]
            length += -length % ALIGNMENT + part.nbytes
    return [buffer for buffer in buffers if len(buffer)]


def most_bytes(elements: int) -> int:
    """No message of float32 elements, each with an index of its own, is longer: what a receiver need not read."""
    return HEADER_MAX + elements * (4 + 8) + PARTS_MAX * (ALIGNMENT + 16)


def unpack(data: Buffer) -> Message:
    """The message; its tensors lie in `data`, unless that cannot be written to or indices were sent short.

    Raises BadMessage.
    """
    view = memoryview(data if not memoryview(data).readonly else bytearray(data)).cast("B")
    parts: dict[str, Extra] = {}
    offset, described = _header(view)
    for name, part in described:
        if name in parts:
            raise BadMessage(f"the message has {name} twice")
        if isinstance(part, tuple):
            offset += -offset % ALIGNMENT
            part, offset = _tensor(view, offset, *part)
        parts[name] = part
    if offset != len(view):
        raise BadMessage(f"the message has {len(view)} bytes, its header says {offset}")
    values, indices = parts.pop("values", None), parts.pop("indices", None)
    if not isinstance(values, Tensor):
        raise BadMessage("the message has no values")
    if indices is not None:
        if not isinstance(indices, Tensor) or indices.dtype not in (torch.int32, torch.int64) or indices.dim() != 1:
            raise BadMessage("the message's indices are not a list of whole numbers")
        indices = indices.to(torch.int64)
    return Message(indices, values, parts)


def _describe(name: str, part: Extra) -> bytes:
    short = name.encode("ascii")
    if not 0 < len(short) <= NAME_MAX:
        raise ValueError(f"the name of a part has 1 to {NAME_MAX} characters, got {name!r:.100}")
    if not isinstance(part, Tensor):
        kind = _FLOAT if isinstance(part, float) else _INT
        return _PART.pack(len(short), kind, 0) + short + struct.pack("<d" if kind == _FLOAT else "<q", part)
    if part.dtype not in _KINDS or part.dim() > DIMENSIONS_MAX or part.device.type != "cpu":
        raise ValueError(f"{name}: no message carries {part.dtype} of {part.dim()} dimensions on {part.device}")
    return _PART.pack(len(short), _KINDS[part.dtype], part.dim()) + short + struct.pack(f"<{part.dim()}Q", *part.shape)


def _narrow(indices: Tensor) -> Tensor:
    fits = indices.numel() == 0 or (indices.max() < 2**31 and indices.min() >= -(2**31))
    return indices.to(torch.int32) if fits else indices


def _memory(tensor: Tensor) -> memoryview:
    flat = tensor.detach().contiguous().reshape(-1)  # numpy knows no bfloat16
    return memoryview(flat.view(torch.uint8).numpy())


_Described = Iterator[tuple[str, "float | int | tuple[torch.dtype, tuple[int, ...]]"]]


def _header(view: memoryview) -> tuple[int, _Described]:
    if len(view) < _HEAD.size:
        raise BadMessage(f"a message of {len(view)} bytes has no header")
    magic, version, count, length = _HEAD.unpack_from(view)
    if magic != MAGIC:
        raise BadMessage("this is no message of a parameter server")
    if version != VERSION:
        raise BadMessage(f"the message has version {version}, this end speaks {VERSION}")
    if count > PARTS_MAX or length > len(view):
        raise BadMessage(f"a header of {count} parts and {length} bytes in a message of {len(view)} bytes")
    return length, _parts(view[:length], count)


def _parts(header: memoryview, count: int) -> _Described:
    offset = _HEAD.size
    try:
        for _ in range(count):
            size, kind, dimensions = _PART.unpack_from(header, offset)
            offset += _PART.size + size
            name = bytes(header[offset - size : offset]).decode("ascii")
            if not 0 < size <= NAME_MAX or dimensions > DIMENSIONS_MAX:
                raise BadMessage(f"a part with a name of {size} bytes and {dimensions} dimensions")
            if kind in (_FLOAT, _INT):
                yield name, struct.unpack_from("<d" if kind == _FLOAT else "<q", header, offset)[0]
                offset += 8
            elif kind in _DTYPES:
                yield name, (_DTYPES[kind], struct.unpack_from(f"<{dimensions}Q", header, offset))
                offset += 8 * dimensions
            else:
                raise BadMessage(f"{name} is of kind {kind}, which this end does not know")
    except (struct.error, UnicodeDecodeError) as error:
        raise BadMessage(f"the message's header is cut off or broken: {error}") from None
    if offset != len(header):
        raise BadMessage(f"the header has {len(header)} bytes, its parts {offset}")


def _tensor(view: memoryview, offset: int, dtype: torch.dtype, shape: tuple[int, ...]) -> tuple[Tensor, int]:
    elements = 1
    for dimension in shape:
        elements *= dimension
    stop = offset + elements * dtype.itemsize
    if max(shape, default=0) > BYTES_MAX or stop > len(view):
        raise BadMessage(f"a tensor of {shape} in a message of {len(view)} bytes")
    if elements == 0:
        return torch.empty(shape, dtype=dtype), stop
    flat = torch.from_numpy(np.frombuffer(view[offset:stop], dtype=np.uint8))
    return flat.view(dtype).reshape(shape), stop
