"""An event loop that ends without waiting for anybody: the operator's own, for kopf."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from asyncio.trsock import TransportSocket
from typing import Any

TURNS = 100
"""Of the loop, at most, for sockets to be closed; each takes two or three."""


class Loop(asyncio.SelectorEventLoop):
    """Knows the sockets of the connections that it opened."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: list[TransportSocket] = []

    async def create_connection(self, *arguments: Any, **options: Any) -> tuple[asyncio.Transport, Any]:
        opened: tuple[asyncio.Transport, Any] = await super().create_connection(*arguments, **options)
        self._opened = [*self._open(), opened[0].get_extra_info("socket")]
        return opened

    async def hang_up(self) -> None:
        """Ends every connection now, also those that are being closed: TLS would wait for the peer's farewell.

        The sockets end and their transports follow: a TLS transport that was closed twice cannot be aborted any more.
        """
        for each in self._open():
            with contextlib.suppress(OSError):  # the peer was faster
                each.shutdown(socket.SHUT_RDWR)
        for _ in range(TURNS):
            await asyncio.sleep(0)
            if not self._open():
                break
        await asyncio.sleep(0)  # for those that were cut off while they were made

    def _open(self) -> list[TransportSocket]:
        return [each for each in self._opened if each.fileno() >= 0]
