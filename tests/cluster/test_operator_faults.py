"""The operator on an API server that misbehaves. The pocket's only: a real one cannot be told to."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from aiohttp import web
from cluster.api import session
from cluster.door import Door, Journal
from kubernetes.aio.config import incluster_config
from support.ear import ear
from support.operating import Operator, end_all, job, phase, pods, run_all, until
from trireme.cluster import backoff
from trireme.cluster.client import Client
from trireme.cluster.resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, PODS, TRAINING_JOBS
from trireme.controller import handlers
from trireme.controller.settings import Settings
from trireme.pocket.apiserver import ApiServer
from trireme.pocket.apiserver.faults import Rule
from trireme.spec.crd import crd

NAMESPACE = "default"


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    server = ApiServer(token="test-token")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: ApiServer, tmp_path: Path) -> AsyncIterator[Client]:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(server.kubeconfig()))
    async with await Client.connect(path) as client:
        yield client


@pytest.fixture
def operator(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(Settings(kubeconfig=tmp_path / "kubeconfig", key_file=tmp_path / "operator.key"), monkeypatch)


async def served(client: Client) -> None:
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, None, crd())


async def trains(client: Client, name: str = "digits", replicas: int = 2) -> None:
    """A job runs from its creation to its success."""
    await client.create(TRAINING_JOBS, NAMESPACE, job(replicas, name))
    await completes(client, name, replicas)


async def completes(client: Client, name: str = "digits", replicas: int = 2) -> None:
    """A job goes on to its success, whatever it has of its pods."""
    ours = {f"{name}-worker-{index}": {} for index in range(replicas)}
    await until(client, PODS, NAMESPACE, lambda found: ours.keys() <= found.keys())
    await run_all(client, NAMESPACE, ours)
    await phase(client, NAMESPACE, "Running", name)
    await end_all(client, NAMESPACE, ours)
    await phase(client, NAMESPACE, "Succeeded", name)


async def test_the_operator_waits_for_its_crd(operator: Operator, client: Client) -> None:
    with ear("is the CRD there, and does it serve v1alpha1? trireme crd | kubectl apply -f -") as told:
        async with operator.running():
            await told.wait()
            await served(client)
            await trains(client)


async def test_the_operator_waits_for_an_api_server_that_is_not_up_yet(
    operator: Operator, client: Client, server: ApiServer
) -> None:
    await served(client)
    async with operator.running():
        await server.faults.refuse_for(1)
        await trains(client)


async def test_an_outage_in_the_middle_is_survived(operator: Operator, client: Client, server: ApiServer) -> None:
    await served(client)
    async with operator.running():
        await client.create(TRAINING_JOBS, NAMESPACE, job())
        found = await pods(client, NAMESPACE, 2)
        server.faults.drop_watches()
        await server.faults.refuse_for(1)
        await run_all(client, NAMESPACE, found)
        await end_all(client, NAMESPACE, found)
        await phase(client, NAMESPACE, "Succeeded")


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(Rule(410, verbs=frozenset({"watch"}), times=6), id="watches too old"),
        pytest.param(
            Rule(410, verbs=frozenset({"watch"}), resources=frozenset({"trainingjobs"}), times=4), id="kopf ends"
        ),
        pytest.param(Rule(500, verbs=frozenset({"create"}), resources=frozenset({"pods"}), times=2), id="creates fail"),
        pytest.param(Rule(429, resources=frozenset({"pods"}), verbs=frozenset({"create"}), times=1), id="too many"),
        pytest.param(Rule(410, verbs=frozenset({"list"}), times=4), id="lists too old"),
        pytest.param(Rule(429, verbs=frozenset({"list"}), times=4), id="too many lists"),
        pytest.param(Rule(429, verbs=frozenset({"watch"}), times=3), id="too many watches"),
        pytest.param(Rule(409, resources=frozenset({"trainingjobs/status"}), times=3), id="status conflicts"),
        pytest.param(Rule(500, resources=frozenset({"trainingjobs/status"}), times=2), id="status fails"),
    ],
)
async def test_one_kind_of_failure_is_survived(
    operator: Operator, client: Client, server: ApiServer, rule: Rule
) -> None:
    await served(client)
    server.faults.add(rule)
    async with operator.running():
        await trains(client)


async def test_watches_that_break_all_the_time_lose_nothing(
    operator: Operator, client: Client, server: ApiServer
) -> None:
    await served(client)
    server.faults.events_per_watch = 2
    async with operator.running():
        await trains(client, replicas=5)


async def test_what_no_watch_told_is_found_by_listing(operator: Operator, client: Client, server: ApiServer) -> None:
    await served(client)
    server.faults.add(Rule(500, verbs=frozenset({"watch"}), resources=frozenset({"trainingjobs"})))
    async with operator.running(resync_seconds=0.1):
        await client.create(TRAINING_JOBS, NAMESPACE, job(name="first"))
        await pods(client, NAMESPACE, 2)
        await client.delete(TRAINING_JOBS, NAMESPACE, "first", propagation="Background")
        await pods(client, NAMESPACE, 0)
        await client.create(TRAINING_JOBS, NAMESPACE, job(replicas=1, name="first"))
        found = await pods(client, NAMESPACE, 1)
        server.faults.clear()
        await run_all(client, NAMESPACE, found)
        await phase(client, NAMESPACE, "Running", "first")


async def test_slow_answers_are_waited_for(operator: Operator, client: Client, server: ApiServer) -> None:
    await served(client)
    with ear("create job=") as begun:
        async with operator.running():
            await client.create(TRAINING_JOBS, NAMESPACE, job())
            await begun.wait()
            server.faults.latency = 1.0
            await pods(client, NAMESPACE, 2)
            server.faults.latency = 0.1
            await completes(client)
    assert Counter(operator.writes)["POST /api/v1/namespaces/default/pods"] == 2


async def test_minutes_of_errors_are_outlasted_with_ever_fewer_requests(
    operator: Operator, client: Client, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back-off runs a hundred times as fast: fifteen failures in a row are more than three minutes."""
    real = backoff.delay
    monkeypatch.setattr(backoff, "delay", lambda *given, **named: real(*given, **named) / 100)
    burst = Rule(500)
    await served(client)
    with ear("create job=") as begun, ear("informer interrupted") as watching, ear("retry job=") as writing:
        async with operator.running():
            await client.create(TRAINING_JOBS, NAMESPACE, job())
            await begun.wait()
            server.faults.add(burst)
            server.faults.drop_watches()
            await watching.wait(15)
            await writing.wait(10)
            struck = server.faults.struck(burst)
            monkeypatch.undo()
            server.faults.clear()
            await completes(client)
    assert struck < 80


async def test_watches_that_are_half_open_are_noticed(
    operator: Operator, client: Client, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their connections stay and carry nothing; the times after which that is silence are shortened."""
    monkeypatch.setitem(Client.watch.__kwdefaults__, "silence_seconds", 0.3)
    settings = handlers._kopf_settings()
    settings.watching.inactivity_timeout = 0.3
    monkeypatch.setattr(handlers, "_kopf_settings", lambda: settings)
    await served(client)
    journal = Journal()
    async with session(server.kubeconfig()) as upstream, Door("door", upstream, journal).opened() as door:
        path = tmp_path / "door"
        path.write_text(yaml.safe_dump(door.kubeconfig))
        async with operator.running(kubeconfig=path, resync_seconds=1000):
            await client.create(TRAINING_JOBS, NAMESPACE, job())
            await pods(client, NAMESPACE, 2)
            await journal.until(lambda each: each.path.endswith("/trainingjobs"), 4)  # the fourth is kopf's watch
            door.freeze()
            await client.create(TRAINING_JOBS, NAMESPACE, job(1, "second"))
            found = await pods(client, NAMESPACE, 3)
            await run_all(client, NAMESPACE, found)
            await phase(client, NAMESPACE, "Running")
            door.freeze()
            await end_all(client, NAMESPACE, found)
            await phase(client, NAMESPACE, "Succeeded")
            await phase(client, NAMESPACE, "Succeeded", "second")


class Guarded(Door):
    """One that takes the rights in some namespaces away."""

    closed: frozenset[str] = frozenset()

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        if not any(f"/namespaces/{each}/" in request.path for each in self.closed):
            return await super()._pass(request)
        status = {"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no rights"}
        return web.json_response(status, status=403)


async def test_a_watched_namespace_without_rights_keeps_no_other_waiting(
    operator: Operator, client: Client, server: ApiServer, tmp_path: Path
) -> None:
    await served(client)
    await client.create(NAMESPACES, None, {"metadata": {"name": "gone"}})
    async with session(server.kubeconfig()) as upstream, Guarded("door", upstream, Journal()).opened() as door:
        assert isinstance(door, Guarded)
        door.closed = frozenset({"gone"})
        path = tmp_path / "door"
        path.write_text(yaml.safe_dump(door.kubeconfig))
        async with operator.running(kubeconfig=path, namespaces=("gone", NAMESPACE), resync_seconds=1000):
            await client.create(TRAINING_JOBS, "gone", job(1))
            await trains(client)
            await trains(client, "second")
            assert await pods(client, "gone", 0) == {}
            door.closed = frozenset()
            await pods(client, "gone", 1)


def in_kubeconfig(server: ApiServer, folder: Path, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: write(folder / "kubeconfig", server.kubeconfig())


def in_token_file(server: ApiServer, folder: Path, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    config = server.kubeconfig()
    config["users"][0]["user"] = {"tokenFile": str(folder / "token")}
    write(folder / "kubeconfig", config)
    (folder / "token").write_text(server.token)
    return lambda: write_token(folder, server)


def of_service_account(server: ApiServer, folder: Path, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    (cluster,) = server.kubeconfig()["clusters"]
    url = urlsplit(cluster["cluster"]["server"])
    (folder / "ca.crt").write_bytes(base64.b64decode(cluster["cluster"]["certificate-authority-data"]))
    (folder / "token").write_text(server.token)
    patch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(folder / "ca.crt"))
    patch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(folder / "token"))
    patch.setenv("KUBERNETES_SERVICE_HOST", str(url.hostname))
    patch.setenv("KUBERNETES_SERVICE_PORT", str(url.port))
    patch.setenv("KUBECONFIG", str(folder / "none"))
    return lambda: write_token(folder, server)


CREDENTIALS = {"kubeconfig": in_kubeconfig, "token file": in_token_file, "service account": of_service_account}


@pytest.mark.parametrize("where", CREDENTIALS)
async def test_a_token_that_rotates_is_read_again(
    operator: Operator, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """At first the server knows the new token, and the file does not yet."""
    (folder := tmp_path / "credentials").mkdir()
    renew = CREDENTIALS[where](server, folder, monkeypatch)
    renew()
    given = None if where == "service account" else folder / "kubeconfig"
    async with await Client.connect(given) as client:
        await served(client)
        with ear("Unauthorized") as refused:
            async with operator.running(kubeconfig=given):
                await client.create(TRAINING_JOBS, NAMESPACE, job())
                await pods(client, NAMESPACE, 2)
                server.token = "another-token"
                server.faults.drop_watches()
                await refused.wait(2)
                renew()
                await completes(client)
                await trains(client, "second")


async def test_a_kubeconfig_that_is_half_written_is_read_again(
    operator: Operator, client: Client, server: ApiServer, tmp_path: Path
) -> None:
    await served(client)
    with ear("credentials cannot be renewed") as unreadable:
        async with operator.running():
            await client.create(TRAINING_JOBS, NAMESPACE, job())
            await pods(client, NAMESPACE, 2)
            server.token = "another-token"
            (tmp_path / "kubeconfig").write_text("{")
            server.faults.drop_watches()
            await unreadable.wait(2)
            write(tmp_path / "kubeconfig", server.kubeconfig())
            await completes(client)


def write_token(folder: Path, server: ApiServer) -> None:
    (folder / "token").write_text(server.token)


def write(path: Path, config: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(config))
