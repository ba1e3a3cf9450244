"""Where connections come in: a thread for each, and little patience with those that do not prove who they are."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence

from trireme_worker.comm.ps.transport import Wire

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Before another try, when there is no file descriptor or no thread for one more connection."""
STRANGER_SECONDS = 15.0
"""For a whole greeting, however busily a peer sends a byte now and then."""
STRANGERS_MAX = 1024
"""Connections that are being greeted; further ones are closed unheard, and come again."""


class Entrance:
    def __init__(self, listeners: Sequence[socket.socket], talk: Callable[[Wire], None]) -> None:
        """`talk(wire)` is called in the connection's thread and calls `known` after the greeting."""
        self._listeners = listeners
        self._talk = talk
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._talking: set[threading.Thread] = set()
        self._strangers: dict[threading.Thread, tuple[socket.socket, float]] = {}
        self._threads = [
            threading.Thread(target=self._accept, args=(each,), name="ps-accept", daemon=True) for each in listeners
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def known(self) -> None:
        """The peer of the connection whose thread this is has proved who it is."""
        with self._lock:
            self._strangers.pop(threading.current_thread(), None)

    def expel(self, now: float) -> None:
        """Ends the connections whose greeting takes too long. `now`: monotonic seconds."""
        with self._lock:
            late = [connection for connection, until in self._strangers.values() if until <= now]
        for connection in late:
            _shut(connection)

    def close(self) -> None:
        """No connection comes in any more."""
        self._closed.set()
        for listener in self._listeners:
            _shut(listener)
            listener.close()
        self.expel(float("inf"))

    def join(self, seconds: float) -> None:
        """For each thread, those of connections included."""
        with self._lock:
            talking = list(self._talking)
        for thread in [*self._threads, *talking]:
            thread.join(seconds)

    def _accept(self, listener: socket.socket) -> None:
        while not self._closed.is_set():
            try:
                self._admit(listener.accept()[0])
            except (OSError, RuntimeError) as error:  # too many files or threads, a peer that went at once, the end
                if not self._closed.is_set():
                    log.warning("a connection could not be accepted: %s", error)
                    self._closed.wait(PAUSE_SECONDS)

    def _admit(self, connection: socket.socket) -> None:
        thread = threading.Thread(target=self._converse, args=(connection,), name="ps-connection", daemon=True)
        with self._lock:
            admitted = len(self._strangers) < STRANGERS_MAX
            if admitted:
                self._talking.add(thread)
                self._strangers[thread] = connection, time.monotonic() + STRANGER_SECONDS
        try:
            if admitted:
                thread.start()
            else:
                connection.close()
        except RuntimeError:
            self._left(thread)
            connection.close()
            raise

    def _converse(self, connection: socket.socket) -> None:
        try:
            wire = Wire(connection)
        except OSError as error:
            log.info("a connection was lost as it began: %s", error)
            connection.close()
        else:
            self._talk(wire)
        finally:
            self._left(threading.current_thread())

    def _left(self, thread: threading.Thread) -> None:
        with self._lock:
            self._talking.discard(thread)
            self._strangers.pop(thread, None)


def _shut(sock: socket.socket) -> None:
    """Wakes whoever blocks in it."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
