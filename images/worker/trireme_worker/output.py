"""The ranks' output on its way to the pod's: whole lines, each behind its rank, and never a rank that waits.

The pod's stdout may be a pipe that nobody reads for a while. A thread of its own writes to it; when it falls too far
behind, lines are lost and counted, because a training step is worth more than a log line.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import threading
from typing import IO

BUFFER_BYTES = 8 * 1024 * 1024
"""Most that waits for a slow reader before lines are lost."""
LINE_BYTES = 64 * 1024
"""A longer line is cut into lines of this length."""
READ_BYTES = 64 * 1024
PIPE_BYTES = 1024 * 1024
"""Most that Linux lets a pipe hold."""
TAIL_LINES = 40
TAIL_LINE_BYTES = 1024
CLOSE_SECONDS = 2.0
"""What a slow reader gets at the end to take the rest."""


class Writer:
    """Writes lines to a file descriptor from a thread; `write` never blocks."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pieces: list[bytes] = []
        self._size = 0
        self._lost = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"writer-{fd}", daemon=True)
        self._thread.start()

    def write(self, lines: list[bytes]) -> None:
        """Lines with their newlines."""
        data = b"".join(lines)
        with self._changed:
            if self._size + len(data) > BUFFER_BYTES:
                self._lost += len(lines)
                return
            self._pieces.append(data)
            self._size += len(data)
            self._changed.notify()

    def close(self) -> None:
        """Waits up to CLOSE_SECONDS for the rest to be written."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while chunk := self._next():
            with contextlib.suppress(OSError):  # nobody reads any more: the training goes on
                _write_all(self._fd, chunk)

    def _next(self) -> bytes:
        """All that waits, as one piece; empty when it was the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._lost or self._closing)
            chunk = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
            if self._lost:
                chunk += b"[agent] %d lines lost: the reader of the log is too slow\n" % self._lost
                self._lost = 0
        return chunk


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Lines:
    """Bytes in, whole lines out (without their newline)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) >= LINE_BYTES:
            lines.append(self._rest[:LINE_BYTES])
            self._rest = self._rest[LINE_BYTES:]
        return lines

    def flush(self) -> list[bytes]:
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class Tail:
    """The last lines of one rank, for its failure."""

    def __init__(self) -> None:
        self._lines: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
        self.last_error = ""
        """The last line on stderr that says something: of a Python traceback, the exception."""
        self.count = 0
        """Of all lines that there ever were."""

    def add(self, lines: list[bytes], is_error: bool) -> None:
        self.count += len(lines)
        for line in lines[-TAIL_LINES:]:
            shown = line.rstrip(b"\r").rpartition(b"\r")[2]  # of a progress bar, its last state
            text = shown[:TAIL_LINE_BYTES].decode(errors="replace")
            self._lines.append(text)
            if is_error and text.strip():
                self.last_error = text.strip()

    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    def since(self, count: int) -> tuple[str, ...]:
        """What is kept of the lines that came after the first `count` ones."""
        new = min(self.count - count, len(self._lines))
        return tuple(self._lines)[len(self._lines) - new :]


class Pipe:
    """One rank's stdout or stderr: read when the loop says so, split, prefixed, handed to the writer."""

    def __init__(self, file: IO[bytes], prefix: bytes, writer: Writer, tail: Tail, *, is_error: bool) -> None:
        self._file = file
        self._prefix = prefix
        self._writer = writer
        self._tail = tail
        self._is_error = is_error
        self._lines = Lines()
        os.set_blocking(file.fileno(), False)
        asyncio.get_running_loop().add_reader(file.fileno(), self._read)

    def drain(self) -> None:
        """Takes what a full pipe holds. Another process may hold the other end and write on: there may be no end."""
        for _ in range(PIPE_BYTES // READ_BYTES):
            if self._file.closed or not self._read():
                break
        self._emit(self._lines.flush())

    def close(self) -> None:
        if not self._file.closed:
            asyncio.get_running_loop().remove_reader(self._file.fileno())
            self._file.close()

    def _read(self) -> bool:
        try:
            data = os.read(self._file.fileno(), READ_BYTES)
        except BlockingIOError:
            return False
        self._emit(self._lines.feed(data) if data else self._lines.flush())
        if not data:
            self.close()
        return bool(data)

    def _emit(self, lines: list[bytes]) -> None:
        if lines:
            self._tail.add(lines, self._is_error)
            self._writer.write([self._prefix + line + b"\n" for line in lines])


class Output:
    """The pod's stdout and stderr."""

    def __init__(self, stdout: int = 1, stderr: int = 2) -> None:
        self.stdout = Writer(stdout)
        self.stderr = Writer(stderr)

    def say(self, text: str) -> None:
        """A line of the agent's own."""
        self.stderr.write([f"[agent] {line}\n".encode() for line in text.splitlines()])

    def close(self) -> None:
        self.stdout.close()
        self.stderr.close()
