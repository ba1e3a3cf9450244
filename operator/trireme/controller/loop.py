"""An event loop that ends without waiting for anybody: the operator's own, for kopf."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import weakref
from asyncio.trsock import TransportSocket
from typing import Any

TURNS = 100
"""Of the loop, at most, for sockets to be closed; each takes two or three."""


class Loop(asyncio.SelectorEventLoop):
    """Knows the connections that it opened, and those that it has begun to open."""

    def __init__(self) -> None:
        super().__init__()
        self._opened_sockets: list[socket.socket | TransportSocket] = []
        self._opened_transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def create_connection(self, *arguments: Any, **options: Any) -> tuple[asyncio.Transport, Any]:
        if "sock" in options:  # aiohttp's way; asyncio forgets a connection whose making is cut off in between
            self._know(options["sock"])
        transport, protocol = await super().create_connection(*arguments, **options)
        self._know(transport.get_extra_info("socket"))
        self._opened_transports.add(transport)
        return transport, protocol

    async def end_tasks(self) -> None:
        """Cancels all but the caller."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def hang_up(self) -> None:
        """Ends every connection now, also those that are being closed: TLS would wait for the peer's farewell.

        A TLS transport that was closed twice cannot be aborted any more, and one that nobody reads from does not notice
        that its socket has ended: so both are told.
        """
        for transport in tuple(self._opened_transports):
            transport.abort()
        for its in self._open():
            with contextlib.suppress(OSError):  # the peer was faster
                its.shutdown(socket.SHUT_RDWR)
        for _ in range(TURNS):
            await asyncio.sleep(0)
            if not self._open():
                break

    def _know(self, its: socket.socket | TransportSocket) -> None:
        self._opened_sockets = [*self._open(), its]

    def _open(self) -> list[socket.socket | TransportSocket]:
        return [each for each in self._opened_sockets if each.fileno() >= 0]
