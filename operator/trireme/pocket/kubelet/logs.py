"""Reads what `crilog` wrote, the way `kubectl logs` asks for it."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from trireme.pocket.apiserver.logs import LogOptions
from trireme.pocket.kubelet.crilog import OLDER, timestamp

FOLLOW_SECONDS = 0.1
"""How often a followed log is looked at."""
_CHUNK = 256 * 1024


async def read(path: Path, options: LogOptions, now: float, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The container's output in chunks. When following, it goes on until `ended()` and all is read.

    `now` is in Unix seconds. A log that does not exist yet is an empty one; `previous` is the caller's to resolve.
    """
    since = timestamp(int((now - options.since_seconds) * 1e9)) if options.since_seconds is not None else ""
    left = options.limit_bytes
    async for entries in _entries(path, options, ended):
        data = b"".join(shown(entry, since=since, timestamps=options.timestamps) for entry in entries)
        if left is not None:
            data = data[:left]
            left -= len(data)
        if data:
            yield data
        if left == 0:
            return


def shown(entry: bytes, *, since: str = "", timestamps: bool = False) -> bytes:
    """One CRI entry as a reader sees it; nothing when it is older than `since`."""
    stamp, _, tag, text = entry.split(b" ", 3)
    if stamp.decode() < since:
        return b""
    if tag == b"P":
        text = text.removesuffix(b"\n")
    return stamp + b" " + text if timestamps else text


async def _entries(path: Path, options: LogOptions, ended: Callable[[], bool]) -> AsyncIterator[list[bytes]]:
    with _Follower(path) as follower:
        if options.tail_lines is None:
            for entries in follower.chunks():
                yield entries
        else:
            yield _tail(follower, options.tail_lines)
        while options.follow:
            last = ended()
            found = False
            for entries in follower.chunks():
                found = True
                yield entries
            if last:
                return
            if not found:
                await asyncio.sleep(FOLLOW_SECONDS)


def _tail(follower: _Follower, count: int) -> list[bytes]:
    """The entries of the last `count` lines; a long line may be several entries."""
    lines: deque[list[bytes]] = deque(maxlen=count)
    open_line: list[bytes] = []
    for entries in follower.chunks():
        for entry in entries:
            open_line.append(entry)
            if entry.split(b" ", 3)[2] == b"F":
                lines.append(open_line)
                open_line = []
    return [entry for line in [*lines, open_line] for entry in line]


class _Follower:
    """Reads whole entries up to the present end of a log, across its rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def __enter__(self) -> _Follower:
        older = Path(f"{self._path}{OLDER}")
        self._file = _open(older) or _open(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def chunks(self) -> Iterator[list[bytes]]:
        while data := self._read():
            *entries, self._rest = _split(self._rest + data)
            if entries:
                yield entries

    def _read(self) -> bytes:
        while True:
            data = self._file.read(_CHUNK) if self._file is not None else b""
            following = None if data else self._following()
            if following is None:
                return data
            # The rotation is seen only now: what was written between the last read and it comes first.
            data = self._file.read(_CHUNK) if self._file is not None else b""
            if data:
                following.close()
                return data
            self.__exit__()
            self._file = following

    def _following(self) -> BinaryIO | None:
        """The present file of the log, opened, if it is not the one being read."""
        present = _open(self._path)
        if present is None or self._file is None or not os.path.sameopenfile(present.fileno(), self._file.fileno()):
            return present
        present.close()
        return None


def _split(data: bytes) -> list[bytes]:
    """Whole lines with their ends, then what is left of the last one."""
    *lines, rest = data.split(b"\n")
    return [*(line + b"\n" for line in lines), rest]


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None
