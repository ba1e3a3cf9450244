"""A pod's folder on disk: its volumes, logs and scratch space. What belongs there is decided elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from trireme.pocket.kubelet.environment import ConfigurationError
from trireme.pocket.kubelet.volumes import File

_READABLE_BY_ALL = 0o755
_UID_CHARACTERS = 13
"""48 random bits tell pods apart, and a short TMPDIR leaves room for sockets in it (their paths end at 107 bytes)."""


class PodFolder:
    """`<root>/<start of the pod's uid>/`, with volumes, a temporary folder, and a folder for each container."""

    def __init__(self, root: Path, uid: str) -> None:
        self.path = root / uid[:_UID_CHARACTERS]
        self._claims = claims(root)

    @property
    def temporary(self) -> Path:
        """The containers' TMPDIR: a container's own /tmp would go with it, too."""
        return _made(self.path / "tmp")

    def volume(self, name: str) -> Path:
        return self.path / "volumes" / name

    def claim(self, namespace: str, name: str) -> Path:
        """What a PersistentVolumeClaim holds: one folder for all pods of the node, which outlives them."""
        return self._claims / namespace / name

    def log(self, container: str, restart: int) -> Path:
        return _made(self.path / "containers" / container) / f"{restart}.log"

    def termination_log(self, container: str, restart: int) -> Path:
        """An empty file, ready to be written."""
        path = _made(self.path / "containers" / container) / f"{restart}.termination"
        path.touch()
        return path

    def forget(self, container: str, restart: int) -> None:
        """Removes what an earlier start of a container left."""
        for path in (self.path / "containers" / container).glob(f"{restart}.*"):
            path.unlink()

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def claims(root: Path) -> Path:
    """Where the claims of a node lie."""
    return root / "claims"


def write_volume(folder: Path, files: Iterable[File]) -> None:
    """Writes the files below the folder, which need not exist."""
    _made(folder)
    for file in files:
        path = folder / file.path
        _made(path.parent)
        path.write_bytes(file.data)
        path.chmod(file.mode)


def host_path(path: Path, kind: str) -> None:
    """Checks or creates what a hostPath volume of that type needs. Raises ConfigurationError."""
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=_READABLE_BY_ALL, parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    tests = {
        "DirectoryOrCreate": path.is_dir,
        "Directory": path.is_dir,
        "FileOrCreate": path.is_file,
        "File": path.is_file,
        "Socket": path.is_socket,
        "CharDevice": path.is_char_device,
        "BlockDevice": path.is_block_device,
    }
    if kind and (kind not in tests or not tests[kind]()):
        raise ConfigurationError(f"hostPath type check failed: {path} is not a {kind}")


def sub_path(volume: Path, relative: str) -> Path:
    """The part of a volume that a mount names; created as a folder when it is not there. Raises ConfigurationError."""
    path = volume / relative
    if not path.resolve().is_relative_to(volume.resolve()):
        raise ConfigurationError(f"subPath {relative} leaves its volume")
    if not path.exists():
        _made(path)
    return path


def read_limited(path: Path, limit: int) -> str:
    """The first `limit` bytes as text; empty when the container left nothing there, or nothing that is a file."""
    try:
        with open(path, "rb", buffering=0, opener=_without_waiting) as file:
            return (file.read(limit) or b"").decode(errors="replace")
    except OSError:
        return ""


def _without_waiting(path: str, flags: int) -> int:
    """A pipe in the file's place must not hold up the kubelet."""
    return os.open(path, flags | os.O_NONBLOCK)


def _made(path: Path) -> Path:
    path.mkdir(mode=_READABLE_BY_ALL, parents=True, exist_ok=True)
    return path
