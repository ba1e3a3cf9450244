"""The client against servers that behave badly: what it says of them, and how long it waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from trireme.cluster import client as client_module
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError, BadKubeconfig, Unreachable
from trireme.cluster.resources import CONFIG_MAPS, NAMESPACES, PODS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[Client]]


def config(server: str, token: str = "secret") -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        }
    )


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts a server with one handler for everything, and a client of it."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(handler: Handler) -> Client:
            async def close(runner: web.ServerRunner) -> None:
                await runner.cleanup()

            runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(close, runner)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            path = tmp_path / "kubeconfig"
            path.write_text(config(f"http://127.0.0.1:{runner.addresses[0][1]}"))
            return await stack.enter_async_context(await Client.connect(path))

        yield start


def failure(status: int, reason: str, message: str, **details: object) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "details": details}
    return web.json_response(body, status=status)


async def stream(request: web.Request, *chunks: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk)
    return response


async def test_requests_are_spelled_as_the_api_server_reads_them(serve: Serve) -> None:
    asked: list[tuple[str, str, str | None, object]] = []

    async def handler(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        asked.append((request.method, request.path_qs, request.headers.get("Content-Type"), body))
        assert request.headers["Authorization"] == "Bearer secret"
        return web.json_response({"metadata": {"resourceVersion": "7"}, "items": []})

    client = await serve(handler)
    await client.get(PODS, "team", "a")
    await client.list(PODS, None, label_selector="a=b,c", limit=3)
    await client.create(NAMESPACES, None, {"kind": "Namespace"})
    await client.create_subresource(PODS, "team", "a", "binding", {"kind": "Binding"})
    await client.patch(PODS, "team", "a", {"status": {}}, subresource="status")
    await client.delete(PODS, "team", "a", uid="u", grace_seconds=0, propagation="Background")
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u"},
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
    }
    json = "application/json"
    assert asked == [
        ("GET", "/api/v1/namespaces/team/pods/a", json, None),
        ("GET", "/api/v1/pods?labelSelector=a%3Db,c&limit=3", json, None),
        ("POST", "/api/v1/namespaces", json, {"kind": "Namespace"}),
        ("POST", "/api/v1/namespaces/team/pods/a/binding", json, {"kind": "Binding"}),
        ("PATCH", "/api/v1/namespaces/team/pods/a/status", "application/merge-patch+json", {"status": {}}),
        ("DELETE", "/api/v1/namespaces/team/pods/a", json, options),
    ]


async def test_a_list_is_read_page_by_page(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        token = request.query.get("continue", "")
        following = {"": "one", "one": "two"}.get(token)
        return web.json_response(
            {"metadata": {"resourceVersion": "7", "continue": following}, "items": [{"page": token}]}
            if following
            else {"metadata": {"resourceVersion": "7"}, "items": [{"page": token}]}
        )

    client = await serve(handler)
    assert await client.list(PODS, "team") == ([{"page": ""}, {"page": "one"}, {"page": "two"}], "7")


async def test_a_refusal_says_what_was_asked_and_what_the_server_said(serve: Serve) -> None:
    async def handler(_: web.Request) -> web.Response:
        return failure(422, "Invalid", "name is wrong", causes=[{"field": "metadata.name", "message": "too long"}])

    client = await serve(handler)
    with pytest.raises(ApiError) as raised:
        await client.create(PODS, "team", {})
    error = raised.value
    assert str(error) == "POST /api/v1/namespaces/team/pods: name is wrong (422 Invalid)"
    assert (error.message, error.causes, error.refused, error.retriable) == (
        "name is wrong", ("metadata.name: too long",), True, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        pytest.param(404, "NotFound", "not_found", id="not found"),
        pytest.param(409, "AlreadyExists", "already_exists", id="already exists"),
        pytest.param(409, "Conflict", "conflict", id="conflict"),
        pytest.param(410, "Expired", "gone", id="gone"),
        pytest.param(403, "Forbidden", "refused", id="forbidden"),
        pytest.param(500, "InternalError", "retriable", id="internal error"),
    ],
)
async def test_each_refusal_is_of_one_kind(serve: Serve, status: int, reason: str, kind: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return failure(status, reason, "no")

    client = await serve(handler)
    with pytest.raises(ApiError) as raised:
        await client.get(PODS, "team", "a")
    kinds = ("not_found", "already_exists", "conflict", "gone", "refused", "retriable")
    assert [each for each in kinds if getattr(raised.value, each)] == [kind]


async def test_words_that_are_not_the_api_servers_are_no_trouble(serve: Serve) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=502, text="<html>bad gateway</html>")

    client = await serve(handler)
    with pytest.raises(ApiError, match=r"GET /api/v1/namespaces/team/pods/a: Bad Gateway \(502 Bad Gateway\)"):
        await client.get(PODS, "team", "a")


async def test_a_busy_server_is_asked_again_when_it_says(serve: Serve) -> None:
    times: list[float] = []

    async def handler(_: web.Request) -> web.Response:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 3:
            return web.json_response({"reason": "TooManyRequests"}, status=429, headers={"Retry-After": "0.05"})
        return web.json_response({"metadata": {}})

    client = await serve(handler)
    await client.create(PODS, "team", {})
    assert len(times) == 3
    assert times[2] - times[0] >= 0.1


async def test_a_server_that_stays_busy_is_left_alone_in_the_end(serve: Serve) -> None:
    times = 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal times
        times += 1
        return web.json_response({"message": "busy"}, status=503, headers={"Retry-After": "0.001"})

    client = await serve(handler)
    with pytest.raises(ApiError, match="busy"):
        await client.create(PODS, "team", {})
    assert times == 5


async def test_a_token_that_ran_out_is_fetched_anew_once(serve: Serve, tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.headers["Authorization"] == "Bearer secret":
            port = request.url.port
            (tmp_path / "kubeconfig").write_text(config(f"http://127.0.0.1:{port}", token="fresh"))
            return failure(401, "Unauthorized", "expired")
        return web.json_response({"token": request.headers["Authorization"]})

    client = await serve(handler)
    assert await client.get(PODS, "team", "a") == {"token": "Bearer fresh"}


async def test_a_token_that_is_never_good_is_an_error(serve: Serve) -> None:
    async def handler(_: web.Request) -> web.Response:
        return failure(401, "Unauthorized", "who are you?")

    client = await serve(handler)
    with pytest.raises(ApiError, match="who are you"):
        await client.get(PODS, "team", "a")


async def test_watch_lines_come_whole_however_they_were_cut(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.query["watch"] == request.query["allowWatchBookmarks"] == "true"
        return await stream(request, b'{"a"', b':1}\n{"b":2}\n', b'{"c":', b"3}\n", b'{"cut off')

    client = await serve(handler)
    lines = [line async for line in client.watch(CONFIG_MAPS, "team", resource_version="1")]
    assert lines == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


async def test_a_watch_that_breaks_ends(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await stream(request, b'{"a":1}\n')
        assert request.transport is not None
        request.transport.abort()
        return response

    client = await serve(handler)
    assert [line async for line in client.watch(PODS)] == [b'{"a":1}']


async def test_a_watch_that_falls_silent_ends(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await stream(request, b'{"a":1}\n')
        await asyncio.Event().wait()
        return response

    client = await serve(handler)
    assert [line async for line in client.watch(PODS, silence_seconds=0.05)] == [b'{"a":1}']


async def test_a_watch_event_without_end_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LINE_MAX", 1000)

    async def handler(request: web.Request) -> web.StreamResponse:
        return await stream(request, *(b"x" * 300 for _ in range(10)))

    client = await serve(handler)
    with pytest.raises(Unreachable, match="one watch event has more than 1000 bytes"):
        [line async for line in client.watch(PODS)]


async def test_a_watch_that_is_refused_raises(serve: Serve) -> None:
    async def handler(_: web.Request) -> web.Response:
        return failure(410, "Expired", "too old")

    client = await serve(handler)
    with pytest.raises(ApiError) as raised:
        [line async for line in client.watch(PODS)]
    assert raised.value.gone


async def test_logs_come_as_they_are_written(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.path_qs == "/api/v1/namespaces/team/pods/a/log?container=trainer&follow=true&tailLines=0"
        return await stream(request, b"one\n", b"two")

    client = await serve(handler)
    chunks = [chunk async for chunk in client.logs("team", "a", "trainer", follow=True, tail_lines=0)]
    assert b"".join(chunks) == b"one\ntwo"


async def test_nobody_listens(tmp_path: Path, unused_tcp_port: int) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(config(f"http://127.0.0.1:{unused_tcp_port}"))
    async with await Client.connect(path) as client:
        with pytest.raises(Unreachable, match="Cannot connect") as raised:
            await client.get(PODS, "team", "a")
    assert raised.value.retriable


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "no kubeconfig at .*, and this is no pod of a cluster: set KUBECONFIG", id="no file"),
        pytest.param("", "kubeconfig: ", id="empty"),
        pytest.param("[1, 2]", "kubeconfig: ", id="a list"),
        pytest.param("{", "kubeconfig: ", id="not YAML"),
        pytest.param(
            config("http://x").replace("current-context: it", "current-context: other"), "other", id="context"
        ),
    ],
)
async def test_a_kubeconfig_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, message: str
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadKubeconfig, match=message):
        await Client.connect(path)
