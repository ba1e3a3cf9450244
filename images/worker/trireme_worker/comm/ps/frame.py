"""The fixed header of every message, its limits and its checksum.

A frame is a header of 64 bytes, `meta` bytes (small: JSON, text or packed indices) and `body` bytes (tensors, as they
lie in memory, little-endian float32). The checksum covers the header; TCP's own covers the rest. The first four bytes
(magic, version, kind) are the same in all versions, so that a peer of another version can be told so.
"""

from __future__ import annotations

import math
import struct
import sys
import zlib
from enum import IntEnum
from typing import NamedTuple

from trireme_worker.comm.ps.errors import BadFrame

if sys.byteorder != "little":
    raise ImportError(
        "the parameter server's tensors travel as little-endian machines hold them; this one is big-endian"
    )

MAGIC = b"3R"
VERSION = 3
META_MAX = 16 * 1024 * 1024
"""Bytes. An inventory of 100,000 ranges fits."""
BODY_MAX = 256 * 1024 * 1024
"""Bytes. A range of 4 MiB with every state a function may keep fits, and so does a row of 64 MiB."""
GREETING_MAX = 4096
"""Bytes of meta or body before the peer has proved who it is."""

_FIELDS = struct.Struct("!2sBBHHIIIQQdII8x")
_CHECKSUM = struct.Struct("!I")
_WHOLE = struct.Struct("!2sBBHHIIIQQdII8xI")
HEADER_BYTES = _WHOLE.size
"""64, as torch aligns tensors: with 56 the kernel copied bodies from 8 bytes before their place within a page, which is
sixteen times as slow on processors whose `rep movsb` takes that for an overlap (docs/adr/0020)."""


class Kind(IntEnum):
    HELLO = 1
    CHALLENGE = 2
    PROOF = 3
    WELCOME = 4
    SEGMENT = 5
    RETURN = 6
    PING = 10
    REGISTER = 11
    INITIALISE = 12
    PUSH = 13
    PULL = 14
    PUSH_PULL = 15
    CLOCK = 16
    CONSISTENCY = 17
    CHECKPOINT = 18
    BYE = 19
    INVENTORY = 30
    FETCH = 31
    SNAPSHOT = 32
    UPDATE = 33
    DISCARD = 34
    DONE = 50
    VALUES = 51
    REFUSED = 52


_KINDS = {int(kind): kind for kind in Kind}

ROWS = 1
"""Flag: meta holds row numbers (int64) of the range, body one row of values for each."""
FILTERED = 2
"""Flag: body is a packed message of the table's filters."""
RESUMES = 4
"""Flag of a pull: the values after push `number` of this worker, if the server still has them; the answer's number says
which push they are after."""
RETAG = 8
"""Flag of a snapshot without a body: the backup has the very same copy already."""
SETTLED = 16
"""Flag of a pull: push `number` of this worker was acknowledged. A server that does not know it has lost it."""

MAPPED = 32
"""Flag: body is in the connection's segment."""


class Header(NamedTuple):
    """A tuple, since every message makes two or three of them and this is several times as fast as a dataclass."""

    kind: Kind
    request: int = 0
    """Chosen by who asks; the answer repeats it."""
    view: int = 0
    table: int = 0
    index: int = 0
    """Of the range within its table."""
    number: int = 0
    """Of a push: 1, 2, 3, ... for each worker and range."""
    rate: float | None = None
    """Learning rate that goes with a push."""
    flags: int = 0
    code: int = 0
    """errors.Reason of a refusal."""
    meta: int = 0
    body: int = 0


def pack(header: Header) -> bytes:
    """Raises BadFrame when meta or body is longer than the wire allows."""
    _limit(header.meta, META_MAX, "meta")
    _limit(header.body, BODY_MAX, "body")
    data = _FIELDS.pack(
        MAGIC, VERSION, header.kind, header.flags, header.code, header.view, header.table, header.index,
        header.request, header.number, math.nan if header.rate is None else header.rate, header.meta, header.body,
    )  # fmt: skip
    return data + _CHECKSUM.pack(zlib.crc32(data))


def unpack(data: bytes | bytearray | memoryview, limit: int | None = None) -> Header:
    """`limit`: bytes that meta and body may have each, where less than the protocol's own is expected.

    Raises BadFrame.
    """
    magic, version, kind, flags, code, view, table, index, request, number, rate, meta, body, checksum = (
        _WHOLE.unpack_from(data)
    )
    if magic != MAGIC:
        raise BadFrame(f"this is not the parameter server's protocol: it begins with {bytes(magic)!r}")
    if version != VERSION:
        raise BadFrame(f"the peer speaks version {version} of the protocol, this process version {VERSION}: "
                       "all pods of a job must run the same release of trireme")  # fmt: skip
    if checksum != zlib.crc32(memoryview(data)[: _FIELDS.size]):
        raise BadFrame("the checksum of a header is wrong: bytes were changed or lost on the way")
    _limit(meta, META_MAX if limit is None else limit, "meta")
    _limit(body, BODY_MAX if limit is None else limit, "body")
    known = _KINDS.get(kind)
    if known is None:
        raise BadFrame(f"there is no message of kind {kind}")
    return Header(
        known, request, view, table, index, number, None if math.isnan(rate) else rate, flags, code, meta, body
    )


def _limit(size: int, limit: int, part: str) -> None:
    if size > limit:
        raise BadFrame(f"the {part} of a frame has {size} bytes, at most {limit} are allowed")
