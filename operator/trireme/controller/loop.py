"""An event loop that ends without waiting for anybody: the operator's own, for kopf."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any


class Loop(asyncio.SelectorEventLoop):
    """Knows the connections that it opened."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def create_connection(self, *arguments: Any, **options: Any) -> tuple[asyncio.Transport, Any]:
        opened: tuple[asyncio.Transport, Any] = await super().create_connection(*arguments, **options)
        self._opened.add(opened[0])
        return opened

    async def hang_up(self) -> None:
        """Ends every connection now, also those that are being closed: TLS would wait for the peer's farewell."""
        for transport in list(self._opened):
            transport.abort()
        await asyncio.sleep(0)  # sockets are closed in the loop's next turn
