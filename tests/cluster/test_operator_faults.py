"""The operator on an API server that misbehaves. The pocket's only: a real one cannot be told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from support.ear import ear
from support.operating import Operator, end_all, job, phase, pods, run_all
from trireme.cluster.client import Client
from trireme.cluster.resources import CUSTOM_RESOURCE_DEFINITIONS, TRAINING_JOBS
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
    found = await pods(client, NAMESPACE, replicas)
    await run_all(client, NAMESPACE, found)
    await phase(client, NAMESPACE, "Running", name)
    await end_all(client, NAMESPACE, found)
    await phase(client, NAMESPACE, "Succeeded", name)


async def test_the_operator_waits_for_its_crd(operator: Operator, client: Client) -> None:
    with ear("is the CRD there? trireme crd | kubectl apply -f -") as told:
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
