"""Keys and values of the store (wire), each pair behind its two lengths: big-endian, 32 bits."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from trireme.contract import codec

_LENGTHS = struct.Struct("!II")


def encode(entries: Sequence[tuple[str, bytes]]) -> bytes:
    packed = []
    for key, value in entries:
        name = key.encode()
        packed += [_LENGTHS.pack(len(name), len(value)), name, value]
    return b"".join(packed)


def decode(data: bytes) -> list[tuple[str, bytes]]:
    """Raises codec.BadMessage."""
    entries, at = [], 0
    try:
        while at < len(data):
            name, value = _LENGTHS.unpack_from(data, at)
            at += _LENGTHS.size
            end = at + name + value
            if end > len(data):
                raise codec.BadMessage("entries end in the middle of one")
            entries.append((data[at : at + name].decode(), data[at + name : end]))
            at = end
    except (struct.error, UnicodeDecodeError) as error:
        raise codec.BadMessage(f"not entries: {error}") from error
    return entries
