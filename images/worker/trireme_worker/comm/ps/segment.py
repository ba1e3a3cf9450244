"""Memory that both ends of a connection map, for bodies: the sender copies a piece into it, the receiver out of it.

Only between two ends on one host (AF_UNIX), and only bodies: headers and meta stay on the socket, and so does a body
when there is no segment. A segment has two lanes, one for each direction, each with a place that is filled and emptied
in turn: two eventfds a lane say that it is full, and that it is free. Places stay in the cache, and the kernel copies
nothing. Nobody can shrink the memory (it is sealed), and what lies where is agreed beforehand: a peer
says no offsets, so it cannot make the other end read beyond.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trireme_worker.comm.ps.errors import BadFrame, Lost

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

PUSH_BYTES = 3 * 1024 * 1024
"""Of the place for bodies to the server: a whole range, which is summed where it lies. Memory that is never used is
none."""
PULL_BYTES = 1024 * 1024
"""Of the place for bodies to the client. Smaller pieces are no faster, they are still in the other core's cache."""
LEAST_BYTES = 64 * 1024
"""A smaller body goes with its header, in one system call."""
SEGMENT_BYTES = PUSH_BYTES + PULL_BYTES
FILES = 5
"""The memory; of each lane, to the server and to the client, what says full and what says free."""
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Lane:
    """One direction, at one end. `awaited` says that the place is this end's, `told` that it is the other's."""

    def __init__(self, place: memoryview, awaited: int, told: int, sock: socket.socket) -> None:
        self._place: Bytes | None = np.frombuffer(place, np.uint8)
        self.most = len(place)
        """Bytes of a piece."""
        self._awaited, self._told = awaited, told
        self._poll = select.poll()
        self._poll.register(awaited, select.POLLIN)
        self._poll.register(sock, select.POLLRDHUP)
        self._lock = threading.Lock()
        self._at = 0
        """Bytes of the present piece that are done."""
        self._piece = 0
        """Its size; 0: the place is the other end's."""
        self._left = 0
        """Bytes of the body that lie in later pieces."""

    def begin(self, size: int) -> None:
        """A body of so many bytes is to go through."""
        self._left, self._piece = size, 0

    def send(self, parts: Sequence[memoryview], seconds: float) -> None:
        """Raises Lost when the other end makes no room for `seconds`, or is gone."""
        self._through(parts, seconds, _fill)

    def receive(self, parts: Sequence[memoryview], seconds: float) -> None:
        """Fills the parts with what comes next. Raises Lost."""
        self._through(parts, seconds, _empty)

    def borrow(self, seconds: float) -> memoryview:
        """A body of a single piece, in place. Raises Lost."""
        with self._lock:
            self._next(seconds)
            assert self._place is not None
            return memoryview(self._place)[: self._piece]

    def give_back(self) -> None:
        """What was borrowed is the sender's again."""
        with self._lock:
            if self._place is not None:
                self._advance(self._piece)

    def close(self) -> None:
        """Waits for who is in it, whom the end of the socket has woken."""
        with self._lock:
            if self._place is not None:
                self._place = None
                os.close(self._awaited)
                os.close(self._told)

    def _through(self, parts: Sequence[memoryview], seconds: float, move: Callable[[Bytes, Bytes], None]) -> None:
        with self._lock:
            for part in parts:
                flat = np.frombuffer(part, np.uint8)
                done = 0
                while done < len(flat):
                    if not self._piece:
                        self._next(seconds)
                    if self._place is None:
                        raise Lost("the connection was closed")
                    size = min(len(flat) - done, self._piece - self._at)
                    move(flat[done : done + size], self._place[self._at : self._at + size])
                    done += size
                    self._advance(size)

    def _next(self, seconds: float) -> None:
        if not self._left:
            raise BadFrame("a body is longer than was announced")
        self._wait(seconds)
        self._piece = min(self._left, self.most)
        self._left -= self._piece
        self._at = 0

    def _advance(self, size: int) -> None:
        self._at += size
        if self._at == self._piece:
            self._piece = 0
            try:
                os.eventfd_write(self._told, 1)
            except BlockingIOError:
                raise BadFrame("the peer says that it is done with what it never had") from None

    def _wait(self, seconds: float) -> None:
        while self._place is not None:
            try:
                os.eventfd_read(self._awaited)
                return
            except BlockingIOError:
                found = dict(self._poll.poll(int(seconds * 1000)))
            if not found:
                raise Lost("the peer said nothing for too long")
            if self._awaited not in found:
                raise Lost("the peer closed the connection")
        raise Lost("the connection was closed")


class Segment:
    """Both lanes at one end."""

    def __init__(self, files: Sequence[int], sock: socket.socket, server: bool) -> None:
        """Takes the files over. `server`: the end that accepted the connection. Raises OSError and BadFrame."""
        memory, full_push, free_push, full_pull, free_pull = files
        try:
            mapped = _mapped(memory)
        except (OSError, BadFrame):
            for each in files[1:]:
                os.close(each)
            raise
        finally:
            os.close(memory)
        push, pull = memoryview(mapped)[:PUSH_BYTES], memoryview(mapped)[PUSH_BYTES:]
        if server:
            self.incoming = Lane(push, full_push, free_push, sock)
            self.outgoing = Lane(pull, free_pull, full_pull, sock)
        else:
            self.incoming = Lane(pull, full_pull, free_pull, sock)
            self.outgoing = Lane(push, free_push, full_push, sock)

    def close(self) -> None:
        """The socket must be shut down by then. The memory goes with the last who looks at it."""
        self.incoming.close()
        self.outgoing.close()


def files() -> list[int]:
    """Of a new segment. Raises OSError where the system has none to give."""
    made: list[int] = []
    try:
        made.append(os.memfd_create("trireme-ps", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.ftruncate(made[0], SEGMENT_BYTES)
        fcntl.fcntl(made[0], fcntl.F_ADD_SEALS, SEALS)
        flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
        made += [os.eventfd(count, flags) for _ in range(2) for count in (0, 1)]
    except OSError:
        for each in made:
            os.close(each)
        raise
    return made


def _mapped(memory: int) -> mmap.mmap:
    if os.fstat(memory).st_size != SEGMENT_BYTES or fcntl.fcntl(memory, fcntl.F_GET_SEALS) & SEALS != SEALS:
        raise BadFrame(f"the shared memory is not {SEGMENT_BYTES} bytes that stay")
    return mmap.mmap(memory, SEGMENT_BYTES)


def _fill(part: Bytes, place: Bytes) -> None:
    np.copyto(place, part)  # lets other threads run meanwhile, which a memoryview's does not


def _empty(part: Bytes, place: Bytes) -> None:
    np.copyto(part, place)
