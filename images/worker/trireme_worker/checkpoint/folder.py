"""The directory of a job's checkpoints, and the only code that touches it. Knows no torch and no other rank.

    step-000000000120/       a checkpoint: the ranks' files and the manifest that names them
    .saving-<token>/         one that is being written; it becomes the former by one rename

A save that is interrupted at any point leaves a `.saving-` folder, which nobody reads, and all else as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from trireme_worker.checkpoint import manifest as manifests
from trireme_worker.checkpoint.errors import Torn
from trireme_worker.checkpoint.manifest import File, Manifest

_STEP = re.compile(r"step-(\d{12})\Z")
_SAVING = ".saving-"
_READ_BYTES = 1024 * 1024


class Folder:
    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def steps(self) -> list[int]:
        """Of what may be checkpoints, newest first; none when there is no directory. Raises OSError."""
        try:
            found = [_STEP.match(name) for name in os.listdir(self.path)]
        except FileNotFoundError:
            return []
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def manifest(self, step: int) -> tuple[Manifest, str]:
        """The manifest and its digest. Raises Torn, and OSError when it is not there."""
        with open(self._at(step) / manifests.NAME, "rb") as file:
            data = file.read(manifests.MAX_BYTES)
        found = manifests.decode(data)
        if found.step != step:
            raise Torn(f"{manifests.NAME} is of step {found.step}")
        return found, manifests.digest(data)

    def checked(self, manifest: Manifest, name: str) -> Path:
        """The path of a file that is, byte for byte, what the manifest says. Raises Torn, OSError."""
        path, wanted = self._at(manifest.step) / name, manifest.files[name]
        if not path.is_file():
            raise Torn(f"{name} is missing")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != wanted.size:
                raise Torn(f"{name} has {size} bytes, and {wanted.size} were written")
            seen = hashlib.sha256()
            while block := file.read(_READ_BYTES):
                seen.update(block)
        if seen.hexdigest() != wanted.sha256:
            raise Torn(f"{name} is not what was written: its digest differs")
        return path

    def begin(self, token: str) -> None:
        """`token` tells this save from any other, also from one that another process makes meanwhile."""
        os.makedirs(self.path, exist_ok=True)
        os.mkdir(self._saving(token))

    def write(self, token: str, name: str, write: Callable[[IO[bytes]], None]) -> File:
        """What `write` writes to a file-like object, on the disk when this returns. Raises OSError."""
        with open(self._saving(token) / name, "xb") as file:
            sink = _Sink(file)
            write(sink)  # type: ignore[arg-type]
            if sink.error is not None:
                raise sink.error
            file.flush()
            os.fsync(file.fileno())
        return File(sink.size, sink.sha256.hexdigest())

    def commit(self, token: str, manifest: Manifest) -> None:
        """From here on it is a checkpoint. Raises OSError, and Torn when a file of another rank is not seen here."""
        saving = self._saving(token)
        for name, file in manifest.files.items():
            if not (saving / name).is_file() or (saving / name).stat().st_size != file.size:
                raise Torn(f"rank 0 does not see {name} of another rank: all pods must share the directory")
        self.write(token, manifests.NAME, lambda out: _ignore(out.write(manifests.encode(manifest))))
        _sync(saving)
        if self.good(manifest.step):
            self.abandon(token)  # saved already, by another writer or by the training that this one goes on from
            return
        place = self._at(manifest.step)
        if place.exists():
            shutil.rmtree(place)
        os.rename(saving, place)
        _sync(self.path)

    def good(self, step: int) -> bool:
        """Whether every file of a checkpoint is what was written."""
        try:
            found, _ = self.manifest(step)
            for name in found.files:
                self.checked(found, name)
        except (OSError, Torn):
            return False
        return True

    def abandon(self, token: str) -> None:
        shutil.rmtree(self._saving(token), ignore_errors=True)

    def sweep(self) -> None:
        """Removes what interrupted saves have left. A process of an earlier try that still saves fails at it."""
        with contextlib.suppress(OSError):
            for path in self.path.glob(f"{_SAVING}*"):
                shutil.rmtree(path, ignore_errors=True)

    def prune(self, keep: int) -> None:
        """Leaves the newest `keep` checkpoints, and whatever is not certainly one. Raises OSError."""
        for step in list(self._ours())[keep:]:
            doomed = self._saving(f"old-{step}")
            os.rename(self._at(step), doomed)  # gone at once: nobody finds it half removed
            shutil.rmtree(doomed)

    def _ours(self) -> Iterator[int]:
        for step in self.steps():
            with contextlib.suppress(OSError, Torn):
                self.manifest(step)
                yield step

    def _at(self, step: int) -> Path:
        return self.path / f"step-{step:012}"

    def _saving(self, token: str) -> Path:
        return self.path / f"{_SAVING}{token}"


class _Sink:
    """Digests what passes to the file. An error is kept for the end: torch's writer does not survive one in between."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                self._file.write(view)
            except OSError as error:
                self.error = error
            self.sha256.update(view)
            self.size += len(view)
        return len(view)

    def flush(self) -> None:
        """The file is flushed when it is whole."""


def _ignore(written: int) -> None:
    """A writer's return value."""


def _sync(folder: Path) -> None:
    """Names are on the disk only when their folder is."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
