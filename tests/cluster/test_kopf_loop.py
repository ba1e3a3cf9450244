"""The operator's end does not depend on how fast the API server says farewell."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator

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
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    loop = Loop()

    async def connect() -> socket.socket:
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", silent, ssl=trusting)
        found: socket.socket = transport.get_extra_info("socket")
        for _ in range(closings):
            transport.close()
        return found

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        connection = runner.run(connect())
        assert connection.fileno() >= 0
        runner.run(loop.hang_up())
        assert connection.fileno() == -1
