"""The answering end's way out: answers wait in a queue for a thread of their own, so no reader waits for another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from trireme_worker.comm.ps.errors import Lost
from trireme_worker.comm.ps.frame import Header
from trireme_worker.comm.ps.transport import Wire

log = logging.getLogger(__name__)


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Outgoing:
    header: Header
    meta: bytes = b""
    body: Sequence[memoryview] = ()
    sent: Callable[[], None] = _nothing
    """Called when it was sent, or never will be."""


class Outbox:
    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Outgoing | None] = SimpleQueue()
        """None is the last."""
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, outgoing: Outgoing) -> None:
        with self._lock:
            if not self._closed:
                self._queue.put(outgoing)
                return
        outgoing.sent()

    def close(self) -> None:
        """What waits is not sent."""
        with self._lock:
            self._closed = True
            self._queue.put(None)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while (outgoing := self._queue.get()) is not None:
            if self._closed:
                outgoing.sent()
                continue
            try:
                self._send(outgoing)
            except Lost:
                self.close()
            except Exception:  # who waits for it asks again by another connection
                log.exception("an answer could not be sent")
                self.close()
                self._wire.close()

    def _send(self, outgoing: Outgoing) -> None:
        try:
            self._wire.send(outgoing.header, outgoing.meta, outgoing.body)
        finally:
            outgoing.sent()
