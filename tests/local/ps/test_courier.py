"""Requests that are refused again and again, by servers that the test plays."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from support.psgroup import Board
from trireme.contract.wire import Serving
from trireme_worker.comm.ps import courier as couriers
from trireme_worker.comm.ps.channel import Exchange, Reply
from trireme_worker.comm.ps.courier import Courier
from trireme_worker.comm.ps.errors import ParameterServerError, Reason, Refused
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.operation import Operation, Request
from trireme_worker.comm.ps.table import Table
from trireme_worker.comm.ps.view import Watch

MOVING = Refused(Reason.NOT_READY, "the range moves")


class Clock:
    """The time that passes, and what the test adds to it."""

    def __init__(self) -> None:
        self.added = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.added


class Server:
    """Takes what is sent to it, and has connections to itself."""

    def __init__(self) -> None:
        self.got: queue.Queue[Exchange] = queue.Queue()

    def submit(self, exchange: Exchange) -> None:
        self.got.put(exchange)

    def get(self, serving: Serving) -> Server:
        return self

    make = get

    def keep(self, servings: object) -> None:
        pass

    def answer(self, outcome: Reply | ParameterServerError) -> None:
        self.got.get(timeout=30).done(outcome)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(couriers, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def courier(clock: Clock, server: Server) -> Iterator[Courier]:
    board = Board(1)
    board.announce(Serving(0, "a", "127.0.0.1", 1))
    watch = Watch(board, 0)
    watch.complete(30)
    made = Courier(watch, server, patience_seconds=300)  # type: ignore[arg-type]
    yield made
    made.close()
    made.join(30)
    watch.close()
    watch._thread.join()


def push() -> Request:
    return Request(Table("w", 10), 0, Kind.PUSH, Operation(1), number=1)


def test_the_time_that_a_server_has_a_request_is_not_taken_from_the_patience(
    courier: Courier, server: Server, clock: Clock
) -> None:
    request = push()
    courier.send(request)
    server.answer(MOVING)
    sent = server.got.get(timeout=30)
    clock.added = 1000.0  # a server has it: it waits for other workers
    sent.done(MOVING)
    server.answer(MOVING)
    server.answer(Reply(Header(Kind.DONE, number=1), b"", b""))
    assert request.operation.wait(30)


def test_patience_ends_when_servers_refuse_all_the_while(courier: Courier, server: Server, clock: Clock) -> None:
    request = push()
    courier.send(request)
    while not request.operation.over:
        clock.added += 7.0
        server.answer(MOVING)
    with pytest.raises(ParameterServerError, match="no server took it for 300 s"):
        request.operation.wait(30)
    assert clock.added == 7.0 + 301.0
