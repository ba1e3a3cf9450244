"""Bytes between two processes: sockets with their options, whole frames, no copies but the kernel's or a segment's.

A wire blocks. The kernel's own time limits (SO_RCVTIMEO, SO_SNDTIMEO) drop a peer that says nothing, or does not
listen, without a poll before every call.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Sequence

from trireme_worker.comm.ps import frame
from trireme_worker.comm.ps.errors import BadFrame, Lost
from trireme_worker.comm.ps.frame import Header
from trireme_worker.comm.ps.segment import LEAST_BYTES, Segment

SILENCE_SECONDS = 15.0
"""A peer that has sent nothing for so long is dropped; clients ping once a second."""
GREETING_SECONDS = 5.0
"""For each message of the greeting."""
LOCAL_BUFFER_BYTES = 256 * 1024
"""Of each direction between two ends on one host: what is under way stays in the cache (measured: with 4 MiB, TCP takes
up to three times as long). Between hosts the kernel chooses, and grows buffers with bandwidth and delay."""
BACKLOG = 1024
DRAIN_BYTES = 1024 * 1024
VECTORS_MAX = 1024
"""IOV_MAX of Linux: buffers that one system call takes."""

Buffer = memoryview


def views(*parts: bytes | bytearray | memoryview) -> list[memoryview]:
    """Non-empty parts as flat bytes."""
    return [view for part in parts if len(view := memoryview(part).cast("B"))]


class Wire:
    """A connection, by one socket or by one for each direction. Receiving belongs to one thread; sending is serialised
    by a lock."""

    def __init__(self, sock: socket.socket, seconds: float = GREETING_SECONDS) -> None:
        self._socket = self._incoming = self._outgoing = sock
        self._sending = threading.Lock()
        self._header = memoryview(bytearray(frame.HEADER_BYTES))
        self._segment: Segment | None = None
        self._meta = 0
        self._body = 0
        """Bytes of the present frame that are not received yet."""
        self._mapped = False
        """Whether the body is in the segment."""
        sock.settimeout(None)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _local(sock):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LOCAL_BUFFER_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LOCAL_BUFFER_BYTES)
        self.limit(seconds)

    @property
    def near(self) -> bool:
        """Whether the ends can hand each other files, and so memory."""
        return self._socket.family == socket.AF_UNIX

    @property
    def left(self) -> int:
        """Bytes of the present frame that are not received yet."""
        return self._meta + self._body

    def limit(self, seconds: float) -> None:
        """How long a call may go without a single byte before it raises Lost."""
        self._seconds = seconds
        value = struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
        for sock in {self._incoming, self._outgoing}:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def receive_by(self, other: Wire) -> None:
        """What the peer sends from now on comes by another connection, which is this wire's now."""
        self._incoming = other._socket

    def send_by(self, other: Wire) -> None:
        """What is sent from now on goes by another connection, which is this wire's now."""
        self._outgoing = other._socket

    def share(self, files: Sequence[int], server: bool) -> None:
        """From now on larger bodies go through a segment, whose files it takes over. Raises OSError and BadFrame."""
        self._segment = Segment(files, self._socket, server)

    def send(self, header: Header, meta: bytes = b"", body: Sequence[memoryview] = ()) -> None:
        """Sends one frame; its lengths are filled in. Raises Lost and BadFrame."""
        size = sum(map(len, body))
        segment = self._segment if size >= LEAST_BYTES else None
        flags = header.flags if segment is None else header.flags | frame.MAPPED
        head = frame.pack(header._replace(meta=len(meta), body=size, flags=flags)) + meta
        with self._sending:
            try:
                if segment is None:
                    _send_all(self._outgoing, [memoryview(head), *body])
                else:
                    segment.outgoing.begin(size)
                    _send_all(self._outgoing, [memoryview(head)])
                    segment.outgoing.send(body, self._seconds)
            except (OSError, Lost) as error:
                self.close()
                raise Lost(f"the connection was lost while sending: {error}") from error

    def send_files(self, header: Header, files: Sequence[int]) -> None:
        """Sends a header and, to an end that is near, files. Raises Lost."""
        try:
            socket.send_fds(self._socket, [frame.pack(header)], list(files))
        except OSError as error:
            raise Lost(f"the connection was lost while sending: {error}") from error

    def receive_files(self, most: int) -> tuple[Header, list[int]]:
        """The next header, of no meta and body, and the files that came with it. Raises Lost and BadFrame."""
        flags = socket.MSG_WAITALL | socket.MSG_CMSG_CLOEXEC
        try:
            data, files, _, _ = socket.recv_fds(self._socket, frame.HEADER_BYTES, most, flags)
        except OSError as error:
            raise Lost(f"the connection was lost: {error}") from error
        try:
            if len(data) < frame.HEADER_BYTES:
                raise Lost("the connection ended in the middle of a frame")
            return frame.unpack(data, 0), files
        except (Lost, BadFrame):
            for each in files:
                os.close(each)
            raise

    def receive(self, limit: int | None = None) -> Header:
        """The next header; meta and body must be taken before the next one. Raises Lost and BadFrame."""
        self._receive([self._header])
        header = frame.unpack(self._header, limit)
        self._meta, self._body = header.meta, header.body
        self._mapped = bool(header.flags & frame.MAPPED)
        if not self._mapped:
            return header
        if self._segment is None:
            raise BadFrame("a body is said to be in shared memory, and there is none")
        self._segment.incoming.begin(header.body)
        return header._replace(flags=header.flags & ~frame.MAPPED)

    def receive_bytes(self, size: int) -> bytearray:
        """The next bytes of the frame. Raises Lost and BadFrame."""
        if size > self.left:
            raise BadFrame("a message announces more than it has")
        data = bytearray(size)
        self.receive_into(views(data))
        return data

    def receive_into(self, parts: Sequence[memoryview]) -> None:
        """Fills all parts, flat and not empty; of meta alone or of body alone. Raises Lost and BadFrame."""
        size = sum(map(len, parts))
        if size > self.left:
            raise BadFrame("a message announces more than it has")
        if self._meta or not self._mapped or self._segment is None:
            self._receive(parts)
        else:
            self._segment.incoming.receive(parts, self._seconds)
        taken = min(size, self._meta)
        self._meta -= taken
        self._body -= size - taken

    def borrow(self) -> memoryview | None:
        """The whole body where it lies, until `give_back`; None when it must be received. Raises Lost."""
        if self._meta or not self._mapped or self._segment is None or self._body > self._segment.incoming.most:
            return None
        return self._segment.incoming.borrow(self._seconds)

    def give_back(self) -> None:
        """The body that was borrowed is not looked at any more."""
        if self._segment is not None:
            self._segment.incoming.give_back()
        self._body = 0

    def drain(self) -> None:
        """Reads away what is left of the frame. Raises Lost."""
        buffer = memoryview(bytearray(min(max(self._meta, self._body), DRAIN_BYTES)))
        while self.left:
            self.receive_into([buffer[: min(self._meta or self._body, len(buffer))]])

    def close(self) -> None:
        """Wakes whoever blocks in it."""
        sockets = {self._incoming, self._outgoing}
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if self._segment is not None:
            self._segment.close()
        for sock in sockets:
            sock.close()

    def _receive(self, parts: Sequence[memoryview]) -> None:
        try:
            _receive_all(self._incoming, list(parts))
        except BlockingIOError:
            raise Lost("the peer said nothing for too long") from None
        except OSError as error:
            raise Lost(f"the connection was lost: {error}") from error


def _send_all(sock: socket.socket, parts: list[memoryview]) -> None:
    while parts:
        sent = sock.sendmsg(parts[:VECTORS_MAX])
        parts = _rest(parts, sent)


def _receive_all(sock: socket.socket, parts: list[memoryview]) -> None:
    started = False
    while parts:
        if len(parts) == 1:
            count = sock.recv_into(parts[0], len(parts[0]), socket.MSG_WAITALL)
        else:
            count = sock.recvmsg_into(parts[:VECTORS_MAX], 0, socket.MSG_WAITALL)[0]
        if not count:
            if started:
                raise Lost("the connection ended in the middle of a frame")
            raise Lost("the peer closed the connection")
        started = True
        parts = _rest(parts, count)


def _rest(parts: list[memoryview], done: int) -> list[memoryview]:
    """What is left of the parts after `done` bytes."""
    for at, part in enumerate(parts):
        if done < len(part):
            return [part[done:], *parts[at + 1 :]]
        done -= len(part)
    return []


def listen(host: str, port: int = 0) -> socket.socket:
    """Raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def listen_unix(name: str) -> socket.socket:
    """`@name` is an abstract socket: seen by everyone in this network namespace (the pod), and leaves no file."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(_unix(name))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def connect(address: str, port: int, unix: str = "") -> Wire:
    """By `unix` when it can be reached from here, else by TCP. Raises Lost."""
    with contextlib.suppress(OSError):
        if unix:
            return Wire(_connected(socket.AF_UNIX, _unix(unix)))
    try:
        return Wire(_connected(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, port)))
    except OSError as error:
        raise Lost(f"{address}:{port} cannot be reached: {error}") from error


def _connected(family: int, address: str | tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(GREETING_SECONDS)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _local(sock: socket.socket) -> bool:
    """Whether both ends are on this host."""
    try:
        return sock.family == socket.AF_UNIX or sock.getpeername()[0] == sock.getsockname()[0]
    except OSError:
        return False  # it is gone; whoever uses it will hear so


def _unix(name: str) -> str:
    return "\0" + name[1:] if name.startswith("@") else name
