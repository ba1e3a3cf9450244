"""A server's checkpoint: one file (archive), written beside the last one and put in its place when it is whole.

Written, fsynced, renamed, the directory fsynced: a file is there whole or not at all, and what is torn anyway is found
by its checksums and passed over. A range is looked for in the files of all servers; the one with most updates counts,
and none is dropped before there is a later one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from trireme_worker.comm.ps import archive, copies, memory
from trireme_worker.comm.ps.archive import Index, OtherVersion, Writer
from trireme_worker.comm.ps.copies import Copy
from trireme_worker.comm.ps.errors import BadFrame, ParameterServerError, Reason, Refused
from trireme_worker.comm.ps.shard import Key
from trireme_worker.comm.ps.slot import Slot
from trireme_worker.comm.ps.table import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Known:
    """The index of a file that looked so; None when it is torn or not ours."""

    look: tuple[int, ...]
    index: Index | None


class Checkpoints:
    """`directory`: the job's, shared by all servers; files are `parameter-server/server-<index>`.

    `job`: `namespace/name`; empty outside of a job.
    """

    def __init__(self, directory: Path, index: int, job: str = "") -> None:
        self._folder = directory / "parameter-server"
        self._path = self._folder / f"server-{index}"
        self._job = job
        self._lock = threading.Lock()
        self._known: dict[Path, _Known] = {}

    def claim(self) -> None:
        """Raises ParameterServerError when what is there is another job's, or of another release: it would be read, or
        passed over, and then overwritten."""
        for _, _, index in self._opened():
            if self._job and index.job not in ("", self._job):
                raise ParameterServerError(
                    f"{self._folder} holds the parameters of job {index.job}: "
                    "give each job a directory of its own (spec.checkpoint.directory), or empty this one"
                )

    def admit(self, table: Table) -> None:
        """Raises Refused when a file has a table of this name that this one cannot go on from."""
        for path, _, index in self._opened():
            known = index.tables.get(table.number)
            if known is not None and (difference := _unlike(known, table)):
                raise Refused(
                    Reason.MISMATCH,
                    f"table {table.name!r} is not the one of the checkpoint {path} ({difference}): go on with the "
                    "model and the optimizer that it was made with; or begin anew, with another directory "
                    "(spec.checkpoint.directory) or with this one emptied",
                )

    def save(self, slots: Sequence[Slot]) -> Path:
        """Writes these ranges, each as it is at one moment, and keeps what the last file has of others.

        Raises OSError; then the last checkpoint stays.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".partial")
        with open(temporary, "wb") as file:
            writer = Writer(file)
            for slot in slots:
                _append(writer, slot)
            self._carry(writer)
            writer.finish(self._job)
        os.replace(temporary, self._path)
        _sync_folder(self._folder)
        return self._path

    def find(self, table: Table, index: int) -> tuple[Copy, list[Tensor]] | None:
        """The copy with the most updates that is whole."""
        found: tuple[Copy, bytearray] | None = None
        for path, file, archived in self._opened():
            entry = archived.entries.get((table.number, index))
            if entry is None or _unlike(entry.copy, table):
                continue
            if found is not None and found[0].version >= entry.copy.version:
                continue
            try:
                found = entry.copy, archive.read(file, entry)
            except (OSError, BadFrame) as error:
                _passed_over(path, error)
        if found is None:
            return None
        copy, data = found
        return copy, [part.clone() for part in torch.frombuffer(data, dtype=torch.float32).split(copy.elements)]

    def _carry(self, writer: Writer) -> None:
        """From the last file what is written nowhere else: of tables that no worker has registered yet, of ranges that
        have moved to a server that has not saved them. Raises OSError."""
        if not self._path.exists():
            return
        with open(self._path, "rb") as file:
            index = self._index(self._path, file)
            entries = {} if index is None else index.entries
            left = [(key, entry) for key, entry in entries.items() if key not in writer.entries]
            elsewhere = self._elsewhere() if left else {}
            for key, entry in left:
                # Of two servers with the same updates one drops them: an order of the files, or both would.
                if elsewhere.get(key, (-1, "")) > (entry.copy.version, self._path.name):
                    continue
                try:
                    writer.add(entry.copy, [archive.read(file, entry)])
                except BadFrame as error:
                    _passed_over(self._path, error)

    def _elsewhere(self) -> dict[Key, tuple[int, str]]:
        """Of each range in other servers' files: updates and name of the file that counts."""
        best: dict[Key, tuple[int, str]] = {}
        for path, _, index in self._opened():
            if path != self._path:
                for key, entry in index.entries.items():
                    best[key] = max(best.get(key, (-1, "")), (entry.copy.version, path.name))
        return best

    def _opened(self) -> Iterator[tuple[Path, BinaryIO, Index]]:
        """Each file that is whole. It stays what its index says while it is open, though another takes its place."""
        for path in sorted(self._folder.glob("server-*")):
            if path.suffix == ".partial":
                continue
            try:
                with open(path, "rb") as file:
                    index = self._index(path, file)
                    if index is not None:
                        yield path, file, index
            except OSError as error:
                _passed_over(path, error)
            except OtherVersion as error:
                raise ParameterServerError(
                    f"the checkpoint {path} cannot be read: {error}. Go on with the release that wrote it, or begin "
                    "anew, with another directory (spec.checkpoint.directory) or with this one emptied"
                ) from error

    def _index(self, path: Path, file: BinaryIO) -> Index | None:
        """Read once for as long as the file is the same; None, and a warning, when it is torn or not ours."""
        status = os.fstat(file.fileno())
        look = status.st_ino, status.st_size, status.st_mtime_ns
        with self._lock:
            known = self._known.get(path)
            if known is None or known.look != look:
                try:
                    known = _Known(look, archive.read_index(file))
                except BadFrame as error:
                    _passed_over(path, error)
                    known = _Known(look, None)
                self._known[path] = known
        return known.index


def _unlike(copy: Copy, table: Table) -> str:
    """What keeps a table from going on from a copy; empty when it can, be its options as they may."""
    there = (copy.table.name, copy.table.length, copy.table.row, sorted(copy.states))
    here = (table.name, table.length, table.row, sorted(table.states))
    what = zip(("name", "length", "row", "states"), there, here, strict=True)
    return ", ".join(f"{name} {old!r} there, {new!r} here" for name, old, new in what if old != new)


def _append(writer: Writer, slot: Slot) -> None:
    with slot.lock:
        if slot.values is None:
            return
        copy, tensors = copies.of(slot)
        # States change in place: they are copied while nothing moves, the values are lent.
        states = [state.clone() for state in tensors[1:]]
        values = slot.lend()
    try:
        writer.add(copy, [memory.data(tensor) for tensor in (values, *states)])
    finally:
        with slot.lock:
            slot.give_back(values)


def _passed_over(path: Path, error: Exception) -> None:
    log.warning("checkpoint %s is passed over: %s", path, error)


def _sync_folder(folder: Path) -> None:
    """The rename itself must outlive a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
