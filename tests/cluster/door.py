"""One operator's only way to the API server: it writes down who wrote what, and it can be shut or fall silent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

PASSED_ON = ("Accept", "Content-Type", "User-Agent")
PASSED_BACK = ("Content-Type", "Retry-After")


@dataclass(frozen=True)
class Passage:
    door: str
    at: float
    """When it was passed on, on the monotonic clock."""
    method: str
    path: str

    @property
    def writes(self) -> bool:
        """Whether it changes anything but a lease."""
        return self.method != "GET" and "/leases" not in self.path


@dataclass
class Journal:
    """What went through all doors, in order."""

    passages: list[Passage] = field(default_factory=list)
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, passage: Passage) -> None:
        self.passages.append(passage)
        self._grown.set()

    @property
    def writes(self) -> list[Passage]:
        return [passage for passage in self.passages if passage.writes]

    async def until(self, what: Callable[[Passage], bool], count: int = 1, begin: int = 0) -> Passage:
        """The last of so many passages of a kind, from the passage with the number `begin` on."""
        while True:
            found = [passage for passage in self.passages[begin:] if what(passage)]
            if len(found) >= count:
                return found[count - 1]
            self._grown.clear()
            await self._grown.wait()


class Door:
    """Speaks plain HTTP, asks for no credentials and adds its own."""

    def __init__(self, name: str, upstream: aiohttp.ClientSession, journal: Journal) -> None:
        self.name = name
        self.kubeconfig: dict[str, Any] = {}
        self._upstream = upstream
        self._journal = journal
        self._shut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._transports: set[asyncio.Transport] = set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Door]:
        runner = web.ServerRunner(web.Server(self._pass, handler_cancellation=True), shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            self.kubeconfig = {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "door",
                "contexts": [{"name": "door", "context": {"cluster": "door", "user": "door"}}],
                "clusters": [{"name": "door", "cluster": {"server": f"http://{host}:{port}"}}],
                "users": [{"name": "door", "user": {}}],
            }
            yield self
        finally:
            self._break()
            await runner.cleanup()

    def shut(self) -> None:
        """Breaks all connections and every new one."""
        self._shut = True
        self._break()

    def silence(self) -> None:
        """All connections stay, and nothing goes through."""
        self._flows.clear()

    def freeze(self) -> None:
        """What is under way stays silent for ever; what is asked from now on is answered."""
        self._flows.clear()
        self._flows = asyncio.Event()
        self._flows.set()

    def open(self) -> None:
        self._shut = False
        self._flows.set()

    def _break(self) -> None:
        for transport in self._transports:
            transport.abort()

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        if self._shut:
            transport.abort()
            raise ConnectionAbortedError
        self._transports.add(transport)
        try:
            return await self._forward(request)
        except (aiohttp.ClientError, OSError):
            transport.abort()
            raise
        finally:
            self._transports.discard(transport)

    async def _forward(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        flows = self._flows
        await flows.wait()
        self._journal.note(Passage(self.name, time.monotonic(), request.method, request.path))
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        asked = self._upstream.request(request.method, request.path_qs, data=body or None, headers=headers)
        async with asked as answer:
            passed = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
            response = web.StreamResponse(status=answer.status, headers=passed)
            await flows.wait()
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await flows.wait()
                with contextlib.suppress(ConnectionError):  # whoever asked has gone
                    await response.write(chunk)
            await response.write_eof()
            return response
