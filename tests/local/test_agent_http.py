"""The server against senders that are wrong, slow or hostile, and the coordinator's paths behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from http import HTTPStatus

import pytest
import pytest_asyncio
from trireme.contract import codec, entries, wire
from trireme_worker import client as client_module
from trireme_worker import rendezvous as rendezvous_module
from trireme_worker.client import Client, Unreachable
from trireme_worker.link import Link, Lost
from trireme_worker.local import LocalService
from trireme_worker.membership import Terms
from trireme_worker.regroup import Regroup
from trireme_worker.rendezvous import Rendezvous
from trireme_worker.server import Refused, Request, Response, Server
from trireme_worker.service import CoordinatorService

HOST = "127.0.0.1"
TOKEN = "secret"
AUTHORIZATION = f"Authorization: {wire.bearer(TOKEN)}\r\n".encode()


class Echo:
    def authorized(self, path: str, authorization: str) -> bool:
        return wire.authorized(authorization, TOKEN)

    async def answer(self, request: Request) -> Response:
        return Response(request.body or "/".join(request.segments()).encode())


async def no_views(request: Request) -> bytes:
    raise Refused(HTTPStatus.NOT_FOUND, "nobody serves")


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[Server]:
    server = Server(Echo(), connections=4, request_seconds=0.3)
    await server.start(HOST, 0)
    yield server
    await server.close()


@pytest_asyncio.fixture
async def coordinator() -> AsyncIterator[CoordinatorService]:
    service = CoordinatorService(Terms(replicas=1, join_seconds=60), TOKEN)
    await service.start(HOST, 0)
    yield service
    await service.close()


async def talk(port: int, data: bytes) -> bytes:
    """Sends and reads until the server closes."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


def request(line: str, headers: bytes = AUTHORIZATION, body: bytes = b"") -> bytes:
    return f"{line} HTTP/1.1\r\n".encode() + headers + b"Connection: close\r\n\r\n" + body


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        pytest.param(b"\x16\x03\x01\x02\r\n\r\n", 400, "the head is not HTTP", id="garbage"),
        pytest.param(b"GET /x SPDY/3\r\n\r\n", 400, "the request line is not HTTP/1.1", id="another protocol"),
        pytest.param(b"GET http://[x HTTP/1.1\r\n\r\n", 400, "the head is not HTTP", id="broken address"),
        pytest.param(b"GET /x HTTP/1.1\r\nnonsense\r\n\r\n", 400, "the head is not HTTP", id="broken header"),
        pytest.param(request("GET /x", b""), 401, "the token is missing or wrong", id="no token"),
        pytest.param(
            request("GET /x", b"Authorization: Bearer wrong\r\n"), 401, "the token is missing or wrong",
            id="wrong token",
        ),
        pytest.param(request("POST /x"), 411, "a body needs a Content-Length", id="no length"),
        pytest.param(
            request("POST /x", AUTHORIZATION + b"Transfer-Encoding: chunked\r\n"), 411, "a body needs a Content-Length",
            id="chunked",
        ),
        pytest.param(
            request("POST /x", AUTHORIZATION + b"Content-Length: -1\r\n"), 400, "Content-Length is not a number",
            id="negative length",
        ),
        pytest.param(
            request("POST /x", AUTHORIZATION + b"Content-Length: 100000000\r\n"), 413, "a body may have 1048576 bytes",
            id="100 MB",
        ),
        pytest.param(
            request("POST /x", AUTHORIZATION + b"Content-Length: " + b"9" * 5000 + b"\r\n"), 413,
            "a body may have 1048576 bytes", id="endless number",
        ),
        pytest.param(b"GET /" + b"x" * 20_000, 431, "the head is longer than 16384 bytes", id="long head"),
    ],
)  # fmt: skip
async def test_refused_with_a_reason(echo, data, status, reason):
    head, _, body = (await talk(echo.port, data)).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert json.loads(body) == {"error": reason}


async def test_a_100_mb_body_is_refused_without_being_read(echo):
    """The client sends on; the server has closed."""
    reader, writer = await asyncio.open_connection(HOST, echo.port)
    writer.write(b"POST /x HTTP/1.1\r\n" + AUTHORIZATION + b"Content-Length: 100000000\r\n\r\n")
    assert (await reader.readline()) == b"HTTP/1.1 413 Request Entity Too Large\r\n"

    async def send() -> None:
        while True:
            writer.write(bytes(1024 * 1024))
            await writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send(), 5)
    writer.close()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="says nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost:", id="half a head"),
        pytest.param(b"POST / HTTP/1.1\r\n" + AUTHORIZATION + b"Content-Length: 9\r\n\r\nhalf", id="half a body"),
    ],
)
async def test_a_sender_that_stops_is_cut_off(echo, data):
    with contextlib.suppress(ConnectionResetError):
        assert await talk(echo.port, data) == b""


async def test_a_slow_drip_is_cut_off_too(echo):
    _, writer = await asyncio.open_connection(HOST, echo.port)

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(drip(), 5)
    writer.close()


async def test_connections_are_bounded_and_come_free_again(echo):
    silent = [await asyncio.open_connection(HOST, echo.port) for _ in range(4)]
    client = Client(HOST, echo.port, TOKEN)
    with pytest.raises(Unreachable):
        await client.call("GET", "/x", seconds=5)
    for reader, writer in silent:
        await reader.read()
        writer.close()
    assert await client.call("GET", "/x", seconds=5) == b"x"
    client.close()


async def test_a_connection_is_used_again_and_replaced_when_it_is_stale(echo):
    client = Client(HOST, echo.port, TOKEN)
    assert await client.call("POST", "/", b"one", seconds=5) == b"one"
    (first,) = client._idle
    assert await client.call("GET", "/a%2Fb/c", seconds=5) == b"a/b/c"
    assert client._idle == [first]
    await first.reader.read()
    assert await client.call("POST", "/", b"two", seconds=5) == b"two"
    assert client._idle != [first]
    client.close()


async def test_a_server_that_speaks_no_http_is_unreachable():
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(nonsense, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Unreachable):
        await Client(HOST, port, TOKEN).call("GET", "/", seconds=5)
    with pytest.raises(Lost):
        await Link(Client(HOST, port, TOKEN)).ask("GET", "/", patience_seconds=0.05)
    server.close()
    await server.wait_closed()


JOIN = wire.Join("worker", 0, "uid", 2, HOST, "digits-worker-0", "node", 5000)
BEAT = wire.Beat("worker", 0, "uid", 1, wire.State.DONE)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("GET", "/", b"", 404, id="no path"),
        pytest.param("GET", "/v1/join", b"", 405, id="wrong method"),
        pytest.param("POST", "/v1/join", b"{}", 400, id="empty join"),
        pytest.param("POST", "/v1/join", b"\xff" * 100, 400, id="garbage"),
        pytest.param("POST", "/v1/join", codec.encode(replace(JOIN, index=5)), 400, id="stranger"),
        pytest.param("POST", "/v1/beat", codec.encode(BEAT), 409, id="early"),
        pytest.param("PUT", "/v1/store/1/global/0", b"x", 409, id="store before the generation"),
        pytest.param("GET", "/v1/store/", b"", 409, id="store of no generation"),
    ],
)
async def test_the_coordinator_refuses(coordinator, method, path, body, status):
    client = Client(HOST, coordinator.port, TOKEN)
    with pytest.raises(Refused) as refused:
        await client.call(method, path, body, seconds=5)
    client.close()
    assert refused.value.status == status
    assert refused.value.reason


async def test_status_before_and_after_joining(coordinator):
    client = Client(HOST, coordinator.port, TOKEN)
    forming = codec.decode(wire.JobReport, await client.call("GET", "/v1/status", seconds=5))
    await client.call("POST", "/v1/join", codec.encode(JOIN), seconds=5)
    running = codec.decode(wire.JobReport, await client.call("GET", "/v1/status", seconds=5))
    client.close()
    assert forming == wire.JobReport(wire.Phase.FORMING, 0, missing=("worker-0",))
    assert running == wire.JobReport(wire.Phase.RUNNING, 1)


async def test_a_view_is_held_until_somebody_finishes_for_whom_it_matters():
    service = CoordinatorService(Terms(replicas=1, join_seconds=60, independent=True, restarts=True), TOKEN, shards=1)
    await service.start(HOST, 0)
    client = Client(HOST, service.port, TOKEN)
    await client.call("POST", "/v1/join", codec.encode(JOIN), seconds=5)
    worker = asyncio.ensure_future(client.call("GET", "/v1/view?after=0", seconds=20))
    server = asyncio.ensure_future(client.call("GET", "/v1/view?after=0&finished=0", seconds=20))
    ahead = asyncio.ensure_future(client.call("GET", "/v1/view?after=7&finished=0", seconds=20))
    beat = replace(BEAT, state=wire.State.RUNNING, finished=(1,))
    await client.call("POST", "/v1/beat", codec.encode(beat), seconds=5)
    view = wire.View(0, 1, finished=(1,))
    assert codec.decode(wire.View, await server) == view
    assert not worker.done()
    assert not ahead.done(), "what it has is newer"
    assert codec.decode(wire.View, await client.call("GET", "/v1/view?after=0&finished=0", seconds=5)) == view
    for waiting in (worker, ahead):
        waiting.cancel()
    await asyncio.gather(worker, ahead, return_exceptions=True)
    client.close()
    await service.close()


async def test_pods_share_the_store_and_local_scopes_stay_at_home(coordinator, monkeypatch):
    monkeypatch.setattr(rendezvous_module, "HOLD_SECONDS", 0.01)
    client = Client(HOST, coordinator.port, TOKEN)
    link = Link(client)
    await client.call("POST", "/v1/join", codec.encode(JOIN), seconds=5)
    here, there = (Rendezvous(link, 1, patience_seconds=5) for _ in range(2))
    assert await there.get("global", "0") is None
    await here.put("global", "0", b"address")
    await here.put("local_host", "0", b"mine")
    assert await there.get("local_host", "0") is None
    monkeypatch.setattr(rendezvous_module, "HOLD_SECONDS", 30.0)
    assert await there.get("global", "0") == b"address"
    await here.delete("global")
    await there.delete("global")
    await there.delete("global")
    assert (await client.call("PUT", "/v1/store/1/global/0", b"again", seconds=5)) == b""
    assert await there.get("global", "0") == b"again"
    here.close()
    there.close()
    client.close()


async def test_a_store_ends_with_its_generation():
    service = CoordinatorService(Terms(replicas=1, join_seconds=60, restarts=True), TOKEN)
    await service.start(HOST, 0)
    client = Client(HOST, service.port, TOKEN)
    await client.call("POST", "/v1/join", codec.encode(JOIN), seconds=5)
    await client.call("PUT", "/v1/store/1/global/0", b"address", seconds=5)
    held = asyncio.ensure_future(client.call("GET", "/v1/store/1/global?after=1", seconds=30))
    killed = wire.Failure("worker", 0, 137, "Signal", "ended by SIGKILL", 0.0, 0)
    beat = replace(BEAT, state=wire.State.FAILED, failure=killed)
    orders = codec.decode(wire.Orders, await client.call("POST", "/v1/beat", codec.encode(beat), seconds=5))
    with pytest.raises(Refused, match="generation 1 is not the present one"):
        await held
    successor = replace(JOIN, incarnation="successor")
    joined = codec.decode(wire.Joined, await client.call("POST", "/v1/join", codec.encode(successor), seconds=5))
    with pytest.raises(Refused, match="generation 1 is not the present one"):
        await client.call("PUT", "/v1/store/1/global/0", b"late", seconds=5)
    put = asyncio.ensure_future(client.call("GET", "/v1/store/2/global", seconds=30))
    await client.call("PUT", "/v1/store/2/global/1", b"new", seconds=5)
    assert entries.decode(await put) == [("1", b"new")]
    client.close()
    await service.close()
    assert (orders.order, joined.generation and joined.generation.number) == (wire.Order.STOP, 2)


async def test_an_address_that_takes_no_connection_is_given_up_soon(monkeypatch):
    """As behind the address of a pod that is gone: nobody refuses, nobody answers."""
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.1)
    with socket.create_server((HOST, 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(2)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        with pytest.raises(Unreachable, match=r"took no connection within 0\.1 s"):
            await Client(*address, TOKEN).call("GET", "/", seconds=30)
        for each in waiting:
            each.close()


async def test_reports_need_the_pods_key():
    reports: list[wire.Report] = []
    service = LocalService(1, reports.append, no_views, Regroup(1, lambda: None))
    await service.start()
    report = wire.Report(0, wire.Progress(3))
    stranger, own = (Client(HOST, service.port, key) for key in ("wrong", service.key))
    with pytest.raises(Refused, match="401"):
        await stranger.call("POST", wire.REPORT_PATH, codec.encode(report), seconds=5)
    await own.call("POST", wire.REPORT_PATH, codec.encode(report), seconds=5)
    with pytest.raises(Refused, match="404"):
        await own.call("GET", "/global/0", seconds=5)
    stranger.close()
    own.close()
    await service.close()
    assert reports == [report]
