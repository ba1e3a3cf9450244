"""The operator's end does not depend on how fast the API server says farewell."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from trireme.controller.loop import Loop
from trireme.pocket.apiserver.times import utcnow
from trireme.pocket.apiserver.tls import make_tls


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that shakes hands over TLS and says nothing more, not even farewell."""
    context = make_tls("127.0.0.1", utcnow()).context
    over = threading.Event()

    def serve() -> None:
        plain, _ = listening.accept()
        with context.wrap_socket(plain, server_side=True):
            over.wait()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        thread.join()


@pytest.mark.parametrize("closings", [0, 1, 2], ids=["open", "being-closed", "closed-twice"])
def test_no_connection_is_left_to_a_silent_peer(silent: int, closings: int) -> None:
    loop, trusting = Loop(), _trusting()

    async def connect() -> socket.socket:
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", silent, ssl=trusting)
        found: socket.socket = transport.get_extra_info("socket")
        for _ in range(closings):
            transport.close()
        return found

    _assert_ended(loop, connect)


def test_no_connection_is_left_whose_making_was_cut_off_at_its_end(silent: int) -> None:
    loop = Loop()
    makings: list[asyncio.Task[object]] = []

    class CutOff(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            makings[0].cancel()

    async def make() -> socket.socket:
        own = socket.create_connection(("127.0.0.1", silent))
        own.setblocking(False)
        trusting = _trusting()
        makings.append(loop.create_task(loop.create_connection(CutOff, sock=own, ssl=trusting, server_hostname="a")))
        await asyncio.wait(makings)
        assert makings[0].cancelled()
        return own

    _assert_ended(loop, make)


def _assert_ended(loop: Loop, make: Callable[[], Coroutine[Any, Any, socket.socket]]) -> None:
    """What `make` leaves open `hang_up` ends."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        connection = runner.run(make())
        assert connection.fileno() >= 0
        runner.run(loop.hang_up())
        assert connection.fileno() == -1


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
