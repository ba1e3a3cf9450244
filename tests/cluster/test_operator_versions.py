"""Versions that do not fit together: of the CRD and the operator, of two operators on one cluster."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from support.ear import ear
from support.operating import Operator, end_all, job, phase, pods, run_all
from trireme.cluster.client import Client
from trireme.cluster.resources import CUSTOM_RESOURCE_DEFINITIONS, TRAINING_JOBS
from trireme.contract.bundle import Agent, agent
from trireme.controller import controller
from trireme.controller.settings import Settings
from trireme.pocket.apiserver import ApiServer
from trireme.spec.crd import crd

NAME = "trainingjobs.trireme.dev"


@pytest.fixture
def operator(kubeconfig_path: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    settings = Settings(
        kubeconfig=kubeconfig_path, namespaces=(namespace,), key_file=tmp_path / "operator.key", resync_seconds=1000
    )
    return Operator(settings, monkeypatch)


def another_agent() -> Agent:
    return Agent(agent().content, "0" * 64)


async def lives(client: Client, namespace: str, name: str = "digits") -> None:
    await client.create(TRAINING_JOBS, namespace, job(name=name))
    await goes_on(client, namespace, name)


async def goes_on(client: Client, namespace: str, name: str = "digits") -> None:
    found = await pods(client, namespace, 2)
    await run_all(client, namespace, found)
    await phase(client, namespace, "Running", name)
    await end_all(client, namespace, found)
    await phase(client, namespace, "Succeeded", name)


async def test_an_operator_with_another_agent_takes_over_and_replaces_nothing(
    operator: Operator, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        found = await pods(client, namespace, 2)
    monkeypatch.setattr(controller, "agent", another_agent)
    async with operator.running():
        await goes_on(client, namespace)
        same = await pods(client, namespace, 2)
    assert uids(same) == uids(found)
    assert not any(write.startswith("DELETE") for write in operator.writes)


async def test_two_operators_of_different_versions_do_not_fight(
    operator: Operator, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ear("operator up") as up:
        async with operator.running():
            await up.wait()
            monkeypatch.setattr(controller, "agent", another_agent)
            async with operator.running():
                await up.wait(2)
                await lives(client, namespace)
                found = await pods(client, namespace, 2)
                writes = [write for write in operator.writes if "trainingjobs" in write]
    assert len(found) == 2
    assert not any(write.startswith("DELETE") for write in operator.writes)
    assert len(writes) <= 2 * 6, writes


async def test_a_crd_that_serves_another_version_is_waited_for(
    operator: Operator, client: Client, pocket: ApiServer | None, namespace: str
) -> None:
    need(pocket)
    other = copy.deepcopy(crd())
    other["spec"]["versions"][0]["name"] = "v1beta1"
    await replaced(client, other)
    with ear("does it serve v1alpha1?") as told:
        async with operator.running():
            await told.wait(2)
            await replaced(client, crd())
            await lives(client, namespace)


async def test_a_crd_that_goes_and_comes_again_is_watched_again(
    operator: Operator, client: Client, pocket: ApiServer | None, namespace: str
) -> None:
    need(pocket)
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job(name="first"))
        await pods(client, namespace, 2)
        with ear("does it serve v1alpha1?") as told:
            await client.delete(CUSTOM_RESOURCE_DEFINITIONS, None, NAME)
            await told.wait()
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, None, crd())
        await pods(client, namespace, 0)
        await lives(client, namespace)


async def test_an_older_crd_drops_what_it_does_not_know_and_nothing_turns_in_circles(
    operator: Operator, client: Client, pocket: ApiServer | None, namespace: str
) -> None:
    need(pocket)
    older = copy.deepcopy(crd())
    status = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    del status["attempt"], status["message"]
    await replaced(client, older)
    async with operator.running():
        await lives(client, namespace)
    assert sum("trainingjobs" in write for write in operator.writes) <= 12, operator.writes


async def test_a_newer_crd_adds_a_field_that_means_nothing_here(
    operator: Operator, client: Client, pocket: ApiServer | None, namespace: str
) -> None:
    need(pocket)
    newer = copy.deepcopy(crd())
    spec = newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    spec["restart"]["properties"]["fromTheFuture"] = {"type": "integer", "default": 5}
    await replaced(client, newer)
    async with operator.running():
        await lives(client, namespace)


def need(pocket: ApiServer | None) -> None:
    if pocket is None:
        pytest.skip("the CRD of a server that others use is not taken away")


async def replaced(client: Client, definition: dict[str, Any]) -> None:
    await client.delete(CUSTOM_RESOURCE_DEFINITIONS, None, NAME)
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, None, definition)


def uids(found: dict[str, Any]) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in found.items()}
