"""An event loop that ends without waiting for anybody: the operator's own, for kopf."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import weakref
from asyncio.trsock import TransportSocket
from typing import Any

BEGINNING_SECONDS = 1.0
"""For connections that are being made when all ends."""
TURNS = 100
"""Of the loop, at most, for sockets to be closed; each takes two or three."""


class Loop(asyncio.SelectorEventLoop):
    """Knows the connections that it opened."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: list[tuple[weakref.ref[asyncio.Transport], TransportSocket]] = []
        self._beginning: set[asyncio.Task[Any]] = set()

    async def create_connection(self, *arguments: Any, **options: Any) -> tuple[asyncio.Transport, Any]:
        """Goes on to its end when the caller is cancelled: asyncio forgets a connection that is cut off in between."""
        task = self.create_task(super().create_connection(*arguments, **options))
        self._beginning.add(task)
        task.add_done_callback(self._begun)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_abandon)
            raise

    async def hang_up(self) -> None:
        """Ends every other task, then every connection, also those being closed: TLS would wait for the peer's farewell.

        In this order: a task that lost its connection would begin another. A TLS transport that was closed twice cannot be aborted any more, and one that nobody reads from does not notice
        that its socket has ended: so both are told.
        """
        others = asyncio.all_tasks() - {asyncio.current_task()} - self._beginning
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._beginning:
            _, late = await asyncio.wait(self._beginning, timeout=BEGINNING_SECONDS)
            for task in late:
                task.cancel()
        for transport, its in self._open():
            if (found := transport()) is not None:
                found.abort()
            with contextlib.suppress(OSError):  # the peer was faster
                its.shutdown(socket.SHUT_RDWR)
        for _ in range(TURNS):
            await asyncio.sleep(0)
            if not self._open():
                break

    def _begun(self, task: asyncio.Task[Any]) -> None:
        self._beginning.discard(task)
        if not task.cancelled() and task.exception() is None:
            transport = task.result()[0]
            self._opened = [*self._open(), (weakref.ref(transport), transport.get_extra_info("socket"))]

    def _open(self) -> list[tuple[weakref.ref[asyncio.Transport], TransportSocket]]:
        return [each for each in self._opened if each[1].fileno() >= 0]


def _abandon(task: asyncio.Task[Any]) -> None:
    """Nobody waits for this connection any more."""
    if not task.cancelled() and task.exception() is None:
        task.result()[0].abort()
