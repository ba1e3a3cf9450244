"""Connections that cannot be taken, and those whose peers do not say who they are."""

from __future__ import annotations

import contextlib
import errno
import math
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from support import psgroup
from support.desk import wait_for
from trireme_worker.comm.ps import entrance as entrances
from trireme_worker.comm.ps import frame, transport
from trireme_worker.comm.ps.entrance import Entrance
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.transport import Wire


class Short(socket.socket):
    """A listener for whose first connection there is no file descriptor left."""

    tried = False

    def accept(self) -> tuple[socket.socket, object]:
        if not self.tried:
            self.tried = True
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport.socket, "socket", Short)


def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    start, tried = threading.Thread.start, []

    def short(thread: threading.Thread) -> None:
        if thread.name == "ps-connection" and not tried:
            tried.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", short)


def answer(wire: Wire) -> None:
    wire.send(Header(Kind.DONE))
    wire.close()


@contextlib.contextmanager
def open_to_all() -> Iterator[tuple[str, int]]:
    """The address of an entrance that says something to everyone."""
    listener = transport.listen("127.0.0.1")
    entrance = Entrance([listener], answer)
    entrance.start()
    try:
        yield listener.getsockname()
    finally:
        entrance.close()
        entrance.join(30)


@pytest.mark.parametrize("short", [no_descriptor, no_thread], ids=["file descriptor", "thread"])
def test_a_connection_that_cannot_be_taken_is_not_the_last(
    short: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(entrances, "PAUSE_SECONDS", 0.01)
    short(monkeypatch)
    with open_to_all() as address:
        for _ in range(2):
            with socket.create_connection(address, timeout=30) as peer, contextlib.suppress(ConnectionError):
                heard = peer.recv(frame.HEADER_BYTES, socket.MSG_WAITALL)
    assert len(heard) == frame.HEADER_BYTES
    assert "a connection could not be accepted" in caplog.text


def test_a_greeting_has_a_limit_as_a_whole_and_whoever_has_greeted_stays() -> None:
    with psgroup.group(workers=1) as group:
        client, server = group.client(0), group.servers[0]
        client.register("w", torch.zeros(2))
        with socket.create_connection((server.serving.address, server.serving.port), timeout=30) as stranger:
            stranger.sendall(b"3")
            wait_for(lambda: bool(server._entrance._strangers))
            server._entrance.expel(0.0)
            assert server._entrance._strangers
            server._entrance.expel(math.inf)
            assert stranger.recv(1) == b""
        wait_for(lambda: not server._entrance._strangers)
        client.wait(client.push("w", torch.ones(2)))
        assert [channel.alive for channel in client._connections.alive()] == [True]


def test_few_are_heard_before_they_have_proved_who_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrances, "STRANGERS_MAX", 2)
    with psgroup.group(workers=1) as group, contextlib.ExitStack() as open_ones:
        server = group.servers[0]
        address = server.serving.address, server.serving.port
        first, _ = (open_ones.enter_context(socket.create_connection(address, timeout=30)) for _ in range(2))
        wait_for(lambda: len(server._entrance._strangers) == 2)
        with socket.create_connection(address, timeout=30) as third:
            assert third.recv(1) == b""
        first.close()
        group.client(0).register("w", torch.zeros(2))
