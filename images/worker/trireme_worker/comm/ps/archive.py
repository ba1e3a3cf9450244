"""One file of a checkpoint: tensors, and behind them what they are.

    tensors · index (JSON) · length of the index, 8 bytes · its CRC-32, 4 · magic and version, 8
    the index: its version; the job; for each range its copy (copies.Copy), where its tensors begin and their CRC-32

A file that was cut or changed is told by its end and its checksums.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from trireme_worker.comm.ps.copies import Copy
from trireme_worker.comm.ps.errors import BadFrame, ParameterServerError
from trireme_worker.comm.ps.shard import Key

_MAGIC = b"3RPS\x00\x00\x00\x01"
_VERSION = 2
"""Of what the index says: 2 since tables are cut at multiples of 64 bytes."""
_LENGTH = struct.Struct("!Q")
_CHECKSUM = struct.Struct("!I")
_TAIL = _LENGTH.size + _CHECKSUM.size + len(_MAGIC)
INDEX_MAX = 1 << 30


class OtherVersion(ParameterServerError):
    """A file that is whole, of a release that cut tables otherwise: to pass it over would begin anew without a word."""

    def __init__(self, version: object) -> None:
        super().__init__(f"its format has version {version!r:.20}, this release reads version {_VERSION}")


@dataclass(frozen=True)
class Entry:
    copy: Copy
    offset: int
    checksum: int
    """Of its tensors, one behind the other."""


@dataclass(frozen=True)
class Index:
    job: str
    entries: dict[Key, Entry]

    @cached_property
    def tables(self) -> dict[int, Copy]:
        """A copy of each table, by the table's number: they differ in what a table may change."""
        return {number: entry.copy for (number, _), entry in self.entries.items()}


class Writer:
    """Writes a file from its beginning. All raise OSError."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.entries: dict[Key, Entry] = {}

    def add(self, copy: Copy, tensors: Iterable[memoryview | bytearray]) -> None:
        offset, checksum = self._file.tell(), 0
        for data in tensors:
            self._file.write(data)
            checksum = zlib.crc32(data, checksum)
        self.entries[copy.table.number, copy.index] = Entry(copy, offset, checksum)

    def finish(self, job: str) -> None:
        """The index goes behind the tensors, whose places it knows; where it is, the end of the file says."""
        ranges = [[entry.copy.encode().decode(), entry.offset, entry.checksum] for entry in self.entries.values()]
        index = json.dumps({"version": _VERSION, "job": job, "ranges": ranges}).encode()
        self._file.write(index)
        self._file.write(_LENGTH.pack(len(index)) + _CHECKSUM.pack(zlib.crc32(index)) + _MAGIC)
        self._file.flush()
        os.fsync(self._file.fileno())


def read_index(file: BinaryIO) -> Index:
    """Raises OSError, BadFrame when the file is torn or not ours, and OtherVersion."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - _TAIL))
    tail = file.read()
    if len(tail) != _TAIL or not tail.endswith(_MAGIC):
        raise BadFrame("it has no end")
    (length,) = _LENGTH.unpack_from(tail)
    if length > min(INDEX_MAX, end - _TAIL):
        raise BadFrame("its index is longer than itself")
    file.seek(end - _TAIL - length)
    index = file.read(length)
    if _CHECKSUM.unpack_from(tail, _LENGTH.size) != (zlib.crc32(index),):
        raise BadFrame("the checksum of its index is wrong")
    try:
        said = json.loads(index)
        if (version := said.get("version", 1)) != _VERSION:
            raise OtherVersion(version)
        entries = [Entry(Copy.parse(copy.encode()), offset, checksum) for copy, offset, checksum in said["ranges"]]
        return Index(str(said["job"]), {(entry.copy.table.number, entry.copy.index): entry for entry in entries})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadFrame(f"its index is none: {error}") from error


def read(file: BinaryIO, entry: Entry) -> bytearray:
    """The tensors of a range. Raises OSError, and BadFrame when they are not what was written."""
    copy, data = entry.copy, bytearray(entry.copy.size)
    file.seek(entry.offset)
    if file.readinto(data) != copy.size or zlib.crc32(data) != entry.checksum:  # type: ignore[attr-defined]
        raise BadFrame(f"the checksum of range {copy.index} of table {copy.table.name!r} is wrong")
    return data
