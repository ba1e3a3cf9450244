"""A server's checkpoint: one file, written beside the last one and put in its place when it is whole.

    tensors · index (JSON) · length of the index, 8 bytes · its CRC-32, 4 · magic and version, 8
    the index: the job; for each range its copy (copies.Copy), where its tensors begin and their CRC-32

Written, fsynced, renamed, the directory fsynced: a file is there whole or not at all, and what is torn anyway is found
by its checksums and passed over. A range is looked for in the files of all servers; the one with most updates counts.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from trireme_worker.comm.ps import copies, memory
from trireme_worker.comm.ps.copies import Copy
from trireme_worker.comm.ps.errors import BadFrame, ParameterServerError
from trireme_worker.comm.ps.slot import Slot
from trireme_worker.comm.ps.table import Table

log = logging.getLogger(__name__)

_MAGIC = b"3RPS\x00\x00\x00\x01"
_LENGTH = struct.Struct("!Q")
_CHECKSUM = struct.Struct("!I")
INDEX_MAX = 1 << 30

Entry = tuple[Copy, int, int]
"""A copy, the offset of its tensors in the file, their checksum."""


@dataclass(frozen=True)
class _Index:
    job: str
    entries: tuple[Entry, ...]


class Checkpoints:
    """`directory`: the job's, shared by all servers; files are `parameter-server/server-<index>`.

    `job`: `namespace/name`; empty outside of a job.
    """

    def __init__(self, directory: Path, index: int, job: str = "") -> None:
        self._folder = directory / "parameter-server"
        self._path = self._folder / f"server-{index}"
        self._job = job

    def claim(self) -> None:
        """Raises ParameterServerError when what is there is another job's: it would be read, and then overwritten."""
        for path in self._files():
            index = _index(path)
            if index is not None and self._job and index.job not in ("", self._job):
                raise ParameterServerError(
                    f"{self._folder} holds the parameters of job {index.job}: "
                    "give each job a directory of its own (spec.checkpoint.directory), or empty this one"
                )

    def save(self, slots: Sequence[Slot]) -> Path:
        """Writes these ranges, each as it is at one moment. Raises OSError; then the last checkpoint stays."""
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".partial")
        with open(temporary, "wb") as file:
            entries = []
            for slot in slots:
                entry = self._append(file, slot)
                if entry is not None:
                    entries.append(entry)
            _finish(file, self._job, entries)
        os.replace(temporary, self._path)
        _sync_folder(self._folder)
        return self._path

    def find(self, table: Table, index: int) -> tuple[Copy, list[Tensor]] | None:
        """The copy with the most updates that is whole."""
        indices = [(path, _index(path)) for path in self._files()]
        found = [
            (copy.version, path, offset, checksum, copy)
            for path, read in indices
            if read is not None
            for copy, offset, checksum in read.entries
            if copy.table.number == table.number and copy.index == index and not copy.table.difference(table)
        ]
        for _, path, offset, checksum, copy in sorted(found, key=lambda each: each[0], reverse=True):
            tensors = _tensors(path, offset, checksum, copy)
            if tensors is not None:
                return copy, tensors
        return None

    def _files(self) -> list[Path]:
        return [path for path in sorted(self._folder.glob("server-*")) if path.suffix != ".partial"]

    def _append(self, file: BinaryIO, slot: Slot) -> tuple[bytes, int, int] | None:
        with slot.lock:
            if slot.values is None:
                return None
            copy, tensors = copies.of(slot)
            values = slot.lend()
            # States change in place: they are copied while nothing moves, the values are lent.
            tensors = [values, *(state.clone() for state in tensors[1:])]
        try:
            offset, checksum = file.tell(), 0
            for tensor in tensors:
                data = memory.data(tensor)
                file.write(data)
                checksum = zlib.crc32(data, checksum)
        finally:
            with slot.lock:
                slot.give_back(values)
        return copy.encode(), offset, checksum


def _finish(file: BinaryIO, job: str, entries: Sequence[tuple[bytes, int, int]]) -> None:
    """The index goes behind the tensors, whose places it knows; where it is, the end of the file says."""
    ranges = [[entry.decode(), offset, checksum] for entry, offset, checksum in entries]
    index = json.dumps({"job": job, "ranges": ranges}).encode()
    file.write(index)
    file.write(_LENGTH.pack(len(index)) + _CHECKSUM.pack(zlib.crc32(index)) + _MAGIC)
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """The rename itself must outlive a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_TAIL = _LENGTH.size + _CHECKSUM.size + len(_MAGIC)


def _index(path: Path) -> _Index | None:
    """None, and a warning, when the file is torn or not ours."""
    try:
        with open(path, "rb") as file:
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
        said = json.loads(index)
        entries = [(Copy.decode(copy.encode()), offset, checksum) for copy, offset, checksum in said["ranges"]]
        return _Index(str(said["job"]), tuple(entries))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, BadFrame) as error:
        log.warning("checkpoint %s is passed over: %s", path, error)
        return None


def _tensors(path: Path, offset: int, checksum: int, copy: Copy) -> list[Tensor] | None:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = bytearray(copy.size)
            if file.readinto(data) != copy.size or zlib.crc32(data) != checksum:
                raise BadFrame(f"the checksum of range {copy.index} of table {copy.table.name!r} is wrong")
    except (OSError, BadFrame) as error:
        log.warning("checkpoint %s is passed over: %s", path, error)
        return None
    return [part.clone() for part in torch.frombuffer(data, dtype=torch.float32).split(copy.elements)]
