"""No thread ends without a word: whoever waits for it is told, or the process ends."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator

import pytest
import torch
from support import psgroup
from support.psgroup import Board, Group
from trireme.contract.wire import Serving, View
from trireme_worker.comm.ps.channel import Channel, Exchange, Reply
from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.errors import Lost, ParameterServerError
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.functions import Update
from trireme_worker.comm.ps.outbox import Outbox, Outgoing
from trireme_worker.comm.ps.server import Server, Settings, _Forwarded
from trireme_worker.comm.ps.slot import Change
from trireme_worker.comm.ps.transport import Wire
from trireme_worker.comm.ps.view import Watch

SURPRISE = MemoryError("there is none left")


def raises(*_: object, **__: object) -> None:
    raise SURPRISE


@pytest.fixture
def group() -> Iterator[Group]:
    with psgroup.group(workers=1) as made:
        yield made


@pytest.fixture
def client(group: Group) -> Client:
    made = group.client(0)
    made.register("w", torch.zeros(4))
    made.register("v", torch.zeros(4))
    return made


def live(client: Client) -> Channel:
    (channel,) = client._connections.alive()
    return channel


def test_a_request_that_cannot_be_sent_fails_and_others_go_on(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    channel = live(client)
    send = channel._wire.send
    monkeypatch.setattr(
        channel._wire, "send", lambda header, *rest: (raises if header.kind is Kind.PUSH else send)(header, *rest)
    )
    with pytest.raises(ParameterServerError, match="the request could not be sent: MemoryError"):
        client.wait(client.push("w", torch.ones(4)), 30)
    assert client.pull("v").tolist() == [0] * 4
    assert not channel.alive
    assert "server 0: a request could not be sent" in caplog.text


def test_all_are_told_when_an_answer_cannot_be_taken(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = live(client)
    told: queue.Queue[Reply | ParameterServerError] = queue.Queue()
    received, go_on = threading.Event(), threading.Event()

    def done(outcome: Reply | ParameterServerError) -> None:
        received.set()
        go_on.wait(30)
        raise SURPRISE

    channel.submit(Exchange(Header(Kind.PING), done))
    received.wait(30)
    for outcome in (raises, told.put):  # they are on their way while the first one's answer is being taken
        channel.submit(Exchange(Header(Kind.PING), outcome))
    monkeypatch.setattr(channel._wire, "receive", raises)
    go_on.set()
    assert isinstance(told.get(timeout=30), Lost)
    assert not channel.alive


def test_a_request_whose_answer_cannot_be_taken_fails(client: Client) -> None:
    client._courier._got = raises  # type: ignore[method-assign]
    with pytest.raises(ParameterServerError, match="its answer could not be taken: MemoryError"):
        client.wait(client.push("w", torch.ones(4)), 30)


def test_a_request_without_a_way_fails_and_the_next_one_is_sent(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(client).close()
    with monkeypatch.context() as patched:
        patched.setattr(client._connections, "make", raises)
        with pytest.raises(
            ParameterServerError, match=r"push 1 of range 0 of table 'w' could not be sent: MemoryError"
        ):
            client.wait(client.push("w", torch.ones(4)), 30)
    assert client.pull("v").tolist() == [0] * 4


def test_an_answer_that_cannot_be_sent_ends_the_connection() -> None:
    near, far = (Wire(sock) for sock in socket.socketpair())
    outbox = Outbox(far, "ps-answers")
    sent = threading.Event()
    try:
        outbox.put(Outgoing(Header(Kind.DONE, number=-1), sent=sent.set))
        with pytest.raises(Lost, match="the peer closed the connection"):
            near.receive()
        assert sent.wait(30)
        outbox.join()
    finally:
        for wire in (near, far):
            wire.close()


class Forgetful(Board):
    """Fails at one word, once."""

    def __init__(self, fails: str) -> None:
        super().__init__(1)
        self._fails = fails

    def _fail(self, word: str) -> None:
        if self._fails == word:
            self._fails = ""
            raise SURPRISE

    def announce(self, serving: Serving) -> View:
        self._fail("announce")
        return super().announce(serving)

    def view(self, after: int, finished: int | None = None) -> View:
        self._fail("view")
        return super().view(after, finished)


def test_who_cannot_understand_a_view_asks_for_the_next() -> None:
    board = Forgetful("view")
    watch = Watch(board, 0)
    board.announce(Serving(0, "a", "127.0.0.1", 1))
    assert watch.newer(0, 30).view.number == 1
    watch.close()
    watch._thread.join()


def test_a_server_that_cannot_say_that_it_is_there_ends() -> None:
    server = Server(Settings(0, psgroup.TOKEN), Forgetful("announce"))
    try:
        assert server.ended.wait(30)
        assert server.failure is SURPRISE
    finally:
        server.close()


@pytest.mark.parametrize("what", ["a change that the chain has", "a worker that has finished"])
def test_a_server_that_cannot_go_on_ends(
    what: str, group: Group, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = group.servers[0]
    slot, _ = server.shard.slots.values()
    with monkeypatch.context() as patched:
        patched.setattr(server, "act", raises)
        if what == "a worker that has finished":
            group.board.finish(0)
            assert server.ended.wait(30)
        else:
            change = Change(1, {}, Update(1), torch.ones(4))
            _Forwarded(server, slot, change)(None)
    assert server.failure is SURPRISE
