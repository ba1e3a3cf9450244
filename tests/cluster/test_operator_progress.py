"""The poller against coordinators, good ones and others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from trireme.contract import codec, names, wire
from trireme.controller import progress
from trireme.controller.progress import Poller, Target

KEY = ("team", "digits")
REPORT = wire.News(wire.Phase.RUNNING, 1, progress=wire.Progress(step=3, metrics={"loss": 0.5}))
TARGET = Target("uid", "127.0.0.1", "token")

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Serve = Callable[[Answer], Awaitable[None]]


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    runners: list[web.ServerRunner] = []

    async def start(answer: Answer) -> None:
        runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        monkeypatch.setattr(names, "COORDINATOR_PORT", runner.addresses[0][1])

    yield start
    for runner in runners:
        await runner.cleanup()


class Changes:
    """Which keys changed, and a way to wait for it."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, str]] = []
        self.event = asyncio.Event()

    def __call__(self, key: tuple[str, str]) -> None:
        self.keys.append(key)
        self.event.set()


async def polled(rounds: int, asked: asyncio.Semaphore, changes: Changes, target: Target = TARGET) -> Poller:
    """The poller after so many answers were asked for, and one round more."""
    async with Poller(changes, seconds=0.01, concurrency=2) as poller:
        poller.want(KEY, target)
        task = asyncio.create_task(poller.run())
        for _ in range(rounds + 1):
            await asyncio.wait_for(asked.acquire(), 5)
        task.cancel()
        await asyncio.wait([task])
        return poller


async def test_only_a_new_report_is_a_change(serve: Serve) -> None:
    asked, changes = asyncio.Semaphore(0), Changes()

    async def answer(request: web.BaseRequest) -> web.Response:
        assert (request.path, request.headers["Authorization"]) == ("/v1/status", "Bearer token")
        asked.release()
        return web.Response(body=codec.encode(REPORT))

    await serve(answer)
    poller = await polled(3, asked, changes)
    assert poller.report(KEY) == REPORT
    assert changes.keys == [KEY]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(401, b"", id="wrong token"),
        pytest.param(302, b"", id="redirect"),
        pytest.param(200, b"garbage", id="garbage"),
        pytest.param(200, b'{"phase":"Running"}', id="half a report"),
        pytest.param(200, b" " * (progress.ANSWER_MAX + 1), id="too long"),
    ],
)
async def test_what_is_no_report_changes_nothing(serve: Serve, status: int, body: bytes) -> None:
    asked, changes = asyncio.Semaphore(0), Changes()

    async def answer(_: web.BaseRequest) -> web.Response:
        asked.release()
        return web.Response(status=status, body=body, headers={"Location": "http://127.0.0.1:1/"})

    await serve(answer)
    poller = await polled(1, asked, changes)
    assert (poller.report(KEY), changes.keys) == (None, [])


async def test_a_coordinator_that_says_nothing_holds_up_no_other_job(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "ANSWER_SECONDS", 0.1)

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.headers["Authorization"] == "Bearer silent":
            await asyncio.Event().wait()
        return web.Response(body=codec.encode(REPORT))

    await serve(answer)
    changes = Changes()
    async with Poller(changes, seconds=0.01, concurrency=2) as poller:
        poller.want(("team", "silent"), Target("other", "127.0.0.1", "silent"))
        poller.want(KEY, TARGET)
        task = asyncio.create_task(poller.run())
        await asyncio.wait_for(changes.event.wait(), 5)
        task.cancel()
        await asyncio.wait([task])
    assert changes.keys == [KEY]


async def test_a_successor_does_not_inherit_a_report(serve: Serve) -> None:
    asked, changes = asyncio.Semaphore(0), Changes()

    async def answer(_: web.BaseRequest) -> web.Response:
        asked.release()
        return web.Response(body=codec.encode(REPORT))

    await serve(answer)
    poller = await polled(1, asked, changes)
    poller.want(KEY, TARGET)
    assert poller.report(KEY) == REPORT
    poller.want(KEY, Target("second", "127.0.0.1", "token"))
    assert poller.report(KEY) is None


async def test_a_coordinator_that_cannot_be_reached_is_silent_until_it_answers(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.0)
    answers, changes = asyncio.Event(), Changes()

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=codec.encode(REPORT)) if answers.is_set() else web.Response(status=503)

    await serve(answer)
    async with Poller(changes, seconds=0.01, concurrency=2) as poller:
        poller.want(KEY, TARGET)
        assert not poller.silent(KEY)
        task = asyncio.create_task(poller.run())
        found = []
        for _ in range(2):
            await asyncio.wait_for(changes.event.wait(), 5)
            changes.event.clear()
            found.append((poller.silent(KEY), poller.report(KEY)))
            answers.set()
        task.cancel()
        await asyncio.wait([task])
        poller.drop(KEY)
        assert not poller.silent(KEY)
    assert (found, changes.keys) == ([(True, None), (False, REPORT)], [KEY, KEY])
