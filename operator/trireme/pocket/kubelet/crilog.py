"""Container logs in the CRI format, one line of output each: `2026-01-31T12:00:00.000000000Z stdout F text`.

The tag is F for a full line and P for a part of one that is longer than LINE_MAX. Two files of FILE_MAX bytes are kept
of each log: `0.log` and, once that is full, the older `0.log.1`. What does not fit on a full disk is lost; the
container runs on. The writer runs in the shim: standard library only.
"""

from __future__ import annotations

import os
import time

LINE_MAX = 16 * 1024
FILE_MAX = 10 * 1024 * 1024
OLDER = ".1"


class Writer:
    """Splits what a container prints into lines and appends them to its log."""

    def __init__(self, path: str, file_max: int = FILE_MAX) -> None:
        self._path = path
        self._file_max = file_max
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  # lives as long as the container
        self._size = self._file.tell()
        self._rest: dict[str, bytes] = {}

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, stream: str, data: bytes, at: int) -> None:
        """Appends output of `stdout` or `stderr` read at `at` (Unix nanoseconds); no data is the stream's end."""
        head = f"{timestamp(at)} {stream} ".encode()
        *lines, rest = (self._rest.pop(stream, b"") + data).split(b"\n")
        if rest and not data:
            lines, rest = [rest], b""
        entries = [entry for line in lines for entry in _entries(head, line)]
        while len(rest) >= LINE_MAX:
            entries.append(b"%sP %s\n" % (head, rest[:LINE_MAX]))
            rest = rest[LINE_MAX:]
        self._rest[stream] = rest
        if entries:
            self._append(b"".join(entries))

    def _append(self, data: bytes) -> None:
        if self._size and self._size + len(data) > self._file_max:
            self._file.close()
            os.replace(self._path, self._path + OLDER)
            self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115
            self._size = 0
        try:
            written = self._file.write(data)
        except OSError:
            written = 0
        if written == len(data):
            self._size += written
        else:
            self._file.truncate(self._size)  # no half entry


def _entries(head: bytes, line: bytes) -> list[bytes]:
    parts = [line[start : start + LINE_MAX] for start in range(0, len(line), LINE_MAX)] or [b""]
    return [b"%sP %s\n" % (head, part) for part in parts[:-1]] + [b"%sF %s\n" % (head, parts[-1])]


def timestamp(at: int) -> str:
    """RFC 3339 in UTC with nine digits of a second, of Unix nanoseconds."""
    seconds, nanoseconds = divmod(at, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
