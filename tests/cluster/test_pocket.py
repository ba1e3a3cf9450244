"""What only the pocket's API server can be asked: misbehaviour on request, and how it bears bad clients."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from cluster.api import Api, connect
from trireme.pocket.apiserver import ApiServer
from trireme.pocket.apiserver.faults import Rule
from trireme.pocket.apiserver.logs import LogOptions

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


class OneLog:
    """A log source that has one log."""

    async def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        if container != "main":
            raise LookupError(f"container {container} has not started")
        yield f"{namespace}/{pod} {options.tail_lines} {options.follow}\n".encode()
        yield b"end\n"


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    server = ApiServer(token="test-token", logs=OneLog(), history=100)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def pocket(server: ApiServer) -> AsyncIterator[Api]:
    async with connect(server.kubeconfig()) as api:
        yield api


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


async def test_a_share_of_requests_fails_and_the_same_ones_each_time(server: ApiServer, pocket: Api) -> None:
    async def codes() -> list[int]:
        server.faults.clear()
        server.faults.reseed(7)
        server.faults.add(Rule(500, share=0.5, verbs=frozenset({"list"}), resources=frozenset({"configmaps"})))
        return [(await pocket("GET", CONFIG_MAPS)).code for _ in range(12)]

    first, second = await codes(), await codes()
    assert first == second
    assert set(first) == {200, 500}
    assert (await pocket("GET", PODS)).code == 200


@pytest.mark.parametrize(
    ("code", "reason"), [(409, "Conflict"), (410, "Expired"), (429, "TooManyRequests"), (500, "InternalError")]
)
async def test_each_refusal_says_what_a_real_one_says(server: ApiServer, pocket: Api, code: int, reason: str) -> None:
    server.faults.add(Rule(code, times=1, retry_after=3))
    refused, well = await pocket("GET", CONFIG_MAPS), await pocket("GET", CONFIG_MAPS)
    assert (refused.code, refused.body["reason"], well.code) == (code, reason, 200)
    assert refused.headers.get("retry-after") == ("3" if code == 429 else None)


async def test_watches_are_dropped(server: ApiServer, pocket: Api) -> None:
    async def act() -> None:
        await pocket("POST", CONFIG_MAPS, config_map("a"))
        server.faults.drop_watches()

    events = await pocket.watch(f"{CONFIG_MAPS}?watch=1", act)
    assert [event["type"] for event in events] == ["ADDED"]


async def test_a_watch_is_closed_after_some_events(server: ApiServer, pocket: Api) -> None:
    server.faults.events_per_watch = 2

    async def act() -> None:
        for name in ("a", "b", "c"):
            await pocket("POST", CONFIG_MAPS, config_map(name))

    events = await pocket.watch(f"{CONFIG_MAPS}?watch=1", act)
    assert [event["object"]["metadata"]["name"] for event in events] == ["a", "b"]


async def test_a_watch_from_before_the_history_is_told_410(pocket: Api) -> None:
    version = (await pocket("GET", CONFIG_MAPS)).version
    await pocket("POST", CONFIG_MAPS, config_map("a"))
    for number in range(101):
        await pocket("PUT", f"{CONFIG_MAPS}/a", config_map("a", at=str(number)))
    [event] = await pocket.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}")
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_a_streaming_list_ends_with_its_bookmark(pocket: Api) -> None:
    await pocket("POST", CONFIG_MAPS, config_map("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = await pocket.watch(f"{CONFIG_MAPS}?{query}&timeoutSeconds=1")
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_refused_connections_and_recovery(server: ApiServer, pocket: Api) -> None:
    server.faults.refusing = True
    with pytest.raises(aiohttp.ClientError):
        await pocket("GET", CONFIG_MAPS)
    server.faults.clear()
    assert (await pocket("GET", CONFIG_MAPS)).code == 200


async def test_no_token_or_a_wrong_one_is_refused(server: ApiServer) -> None:
    kubeconfig = server.kubeconfig()
    for token in ("", "wrong", "test-token-and-more"):
        kubeconfig["users"][0]["user"] = {"token": token}
        async with connect(kubeconfig) as stranger:
            refused = await stranger("GET", CONFIG_MAPS)
            assert (refused.code, refused.body["reason"]) == (401, "Unauthorized")
            assert (await stranger("GET", "/readyz")).code == 200


async def test_a_huge_body_is_refused_before_it_is_read(pocket: Api) -> None:
    refused = await pocket("POST", CONFIG_MAPS, config_map("a", x="y" * 20_000_000))
    assert (refused.code, refused.body["reason"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    ("body", "media", "code"),
    [
        pytest.param("{", "application/json", 400, id="broken JSON"),
        pytest.param("[]", "application/json", 400, id="a list"),
        pytest.param("\ud83d".encode("utf-8", "surrogatepass").decode("latin-1"), "application/json", 400, id="bytes"),
        pytest.param("a: [", "application/yaml", 400, id="broken YAML"),
        pytest.param("{}", "text/plain", 415, id="another type"),
        pytest.param('{"metadata": {"name": 7}}', "application/json", 400, id="a number for a name"),
        pytest.param('{"metadata": []}', "application/json", 400, id="metadata no object"),
        pytest.param('{"kind": "Pod", "metadata": {"name": "a"}}', "application/json", 400, id="another kind"),
        pytest.param("{}", "application/json", 422, id="no name"),
        pytest.param("[" * 100_000, "application/json", 400, id="very deep"),
        pytest.param("k8s", "application/vnd.kubernetes.protobuf", 400, id="no protobuf"),
    ],
)
async def test_garbage_is_refused(pocket: Api, body: str, media: str, code: int) -> None:
    assert (await pocket("POST", CONFIG_MAPS, body, media)).code == code
    assert (await pocket("GET", CONFIG_MAPS)).names == []


async def test_a_client_that_says_nothing_disturbs_nobody(server: ApiServer, pocket: Api) -> None:
    host, port = server.kubeconfig()["clusters"][0]["cluster"]["server"].removeprefix("https://").split(":")
    unencrypted = ssl.create_default_context()
    unencrypted.check_hostname, unencrypted.verify_mode = False, ssl.CERT_NONE
    _, silent = await asyncio.open_connection(host, int(port))
    _, mute = await asyncio.open_connection(host, int(port), ssl=unencrypted)
    assert (await pocket("GET", CONFIG_MAPS)).code == 200
    for writer in (silent, mute):
        writer.transport.abort()


async def test_logs_come_from_the_log_source(server: ApiServer, pocket: Api) -> None:
    containers = [{"name": "main", "image": "i"}, {"name": "side", "image": "i"}]
    await pocket("POST", PODS, {"metadata": {"name": "a"}, "spec": {"containers": containers}})
    await pocket("POST", f"{PODS}/a/binding", {"target": {"name": "n1"}})
    log = await pocket("GET", f"{PODS}/a/log?container=main&tailLines=3")
    assert (log.code, log.body["raw"]) == (200, "default/a 3 False\nend\n")
    refused = [await pocket("GET", f"{PODS}/a/log{query}") for query in ("", "?container=x", "?container=side")]
    assert [(reply.code, reply.body["message"]) for reply in refused] == [
        (400, "a container name must be specified for pod a, choose one of: [main side]"),
        (400, "container x is not valid for pod a"),
        (400, "container side has not started"),
    ]


async def test_what_a_laptop_cannot_do_is_refused_with_the_reason(pocket: Api) -> None:
    await pocket("POST", PODS, {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    executed = await pocket("POST", f"{PODS}/a/exec?command=ls")
    assert (executed.code, executed.body["reason"]) == (501, "NotImplemented")
    service = {"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
    refused = await pocket("POST", "/api/v1/namespaces/default/services", service)
    assert (refused.code, refused.causes) == (422, ["FieldValueForbidden:spec.type"])


async def test_a_taken_port_is_an_error_and_stopping_twice_is_none(server: ApiServer) -> None:
    port = int(server.kubeconfig()["clusters"][0]["cluster"]["server"].rpartition(":")[2])
    other = ApiServer(token="x")
    with pytest.raises(OSError, match="address already in use"):
        await other.start(port=port)
    await other.stop()
    with pytest.raises(RuntimeError, match="not running"):
        other.kubeconfig()


def test_a_kubeconfig_is_plain_data(server: ApiServer) -> None:
    assert json.loads(json.dumps(server.kubeconfig()))["current-context"] == "trireme"
