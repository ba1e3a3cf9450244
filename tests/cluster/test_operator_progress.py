"""The poller against coordinators, good ones and others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

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


async def test_what_was_heard_before_the_lead_was_lost_is_forgotten_when_it_is_won_again(serve: Serve) -> None:
    asked, changes = asyncio.Semaphore(0), Changes()
    answers = [codec.encode(REPORT)]

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.release()
        if not answers:
            await asyncio.Event().wait()
        return web.Response(body=answers.pop())

    await serve(answer)
    async with Poller(changes, seconds=0.01, concurrency=2) as poller:
        poller.want(KEY, TARGET)
        for expected in (REPORT, None):
            term = asyncio.create_task(poller.run())
            await asyncio.wait_for(asked.acquire(), 5)
            if expected is not None:
                await asyncio.wait_for(changes.event.wait(), 5)
            assert poller.report(KEY) == expected
            term.cancel()
            await asyncio.wait([term])


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


async def test_news_is_asked_for_by_its_number_and_again_at_once(serve: Serve) -> None:
    """A coordinator that holds the question while there is none: no pause is waited for between two news."""
    questions: list[str] = []
    done = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.Response:
        questions.append(request.query_string)
        if len(questions) > 3:
            done.set()
        return web.Response(body=codec.encode(replace(REPORT, number=len(questions))))

    await serve(answer)
    async with Poller(Changes(), seconds=60, concurrency=2) as poller:
        poller.want(KEY, TARGET)
        task = asyncio.create_task(poller.run())
        await asyncio.wait_for(done.wait(), 5)
        task.cancel()
        await asyncio.wait([task])
    assert questions == ["after=0", "after=1", "after=2", "after=3"]


RULING = wire.Ruling("pod-uid", 0, next_attempt=1)


async def test_a_ruling_is_sent_and_its_answer_is_the_report_and_news(serve: Serve) -> None:
    said, changes = [], Changes()

    async def answer(request: web.BaseRequest) -> web.Response:
        assert (request.method, request.path) == ("POST", "/v1/ruling")
        assert request.headers["Authorization"] == "Bearer token"
        said.append(codec.decode(wire.Ruling, await request.read()))
        return web.Response(body=codec.encode(REPORT))

    await serve(answer)
    async with Poller(changes, seconds=60, concurrency=2) as poller:
        assert not await poller.rule(KEY, RULING)
        poller.want(KEY, TARGET)
        assert await poller.rule(KEY, RULING)
        assert await poller.rule(KEY, RULING)
    assert (said, poller.report(KEY), changes.keys) == ([RULING, RULING], REPORT, [KEY])


@pytest.mark.parametrize(
    ("status", "body"),
    [pytest.param(404, b"", id="an older coordinator"), pytest.param(200, b"garbage", id="garbage")],
)
async def test_a_ruling_that_is_not_heard_is_told(serve: Serve, status: int, body: bytes) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=body)

    await serve(answer)
    async with Poller(Changes(), seconds=60, concurrency=2) as poller:
        poller.want(KEY, TARGET)
        assert not await poller.rule(KEY, RULING)
    assert poller.report(KEY) is None


async def test_a_report_from_before_a_ruling_is_no_news(serve: Serve) -> None:
    asked, ruled, changes = asyncio.Event(), asyncio.Event(), Changes()
    held = wire.Held("pod-uid", 0, wire.Failure("worker", 1, 137, "Signal", "ended by SIGKILL", 1.0))

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            return web.Response(body=codec.encode(replace(REPORT, number=2, attempt=1)))
        if asked.is_set():  # a later question is held for ever
            await asyncio.Event().wait()
        asked.set()
        await ruled.wait()
        return web.Response(body=codec.encode(replace(REPORT, number=1, held=held)))

    await serve(answer)
    async with Poller(changes, seconds=0.0, concurrency=2) as poller:
        poller.want(KEY, TARGET)
        task = asyncio.create_task(poller.run())
        await asyncio.wait_for(asked.wait(), 5)
        assert await poller.rule(KEY, RULING)
        ruled.set()
        await asyncio.wait_for(changes.event.wait(), 5)
        task.cancel()
        await asyncio.wait([task])
    assert poller.report(KEY) == replace(REPORT, number=2, attempt=1)
