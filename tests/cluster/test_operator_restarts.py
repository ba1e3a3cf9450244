"""Restarts, lost nodes and the end of a finished job on an API server; the tests play the kubelet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cluster.api import Api
from support.operating import Operator, announced, end_all, job, phase, pods, run_all, told, until
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import NODES, PODS, TRAINING_JOBS
from trireme.controller.settings import Settings
from trireme.lifecycle.policies import nodes, placement

Object = dict[str, Any]


@pytest.fixture
def operator(kubeconfig_path: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    settings = Settings(kubeconfig=kubeconfig_path, namespaces=(namespace,), key_file=tmp_path / "operator.key")
    return Operator(settings, monkeypatch)


def with_spec(**spec: Any) -> Object:
    made = job()
    made["spec"] |= spec
    return made


def attempt(found: dict[str, Object], name: str) -> str:
    return str(found[name]["metadata"]["labels"]["trireme.dev/attempt"]) if name in found else ""


async def successor(client: Client, namespace: str, name: str, number: int) -> dict[str, Object]:
    """The pods, once one of them is of that attempt."""
    return await until(client, PODS, namespace, lambda now: attempt(now, name) == str(number))


async def started(client: Client, namespace: str, made: Object) -> dict[str, Object]:
    await client.create(TRAINING_JOBS, namespace, made)
    found = await pods(client, namespace, made["spec"]["worker"]["replicas"])
    await run_all(client, namespace, found)
    await phase(client, namespace, "Running")
    return found


async def test_only_the_failed_pod_is_replaced_within_a_budget_of_writes(
    operator: Operator, client: Client, namespace: str
) -> None:
    async with operator.running():
        found = await started(client, namespace, job())
        launch = len(operator.writes)
        await end_all(client, namespace, {"digits-worker-1": {}}, code=3)
        again = await successor(client, namespace, "digits-worker-1", 1)
        assert again["digits-worker-0"]["metadata"]["uid"] == found["digits-worker-0"]["metadata"]["uid"]
        waiting = await told(client, namespace, "; waiting for worker-1")
        assert waiting["status"]["message"].startswith("Restarting 1/3: worker-1: exit code 3: ")
        await run_all(client, namespace, {"digits-worker-1": {}})
        await phase(client, namespace, "Running")
        written = [write for write in operator.writes[launch:] if "events" not in write]
        await end_all(client, namespace, again)
        done = await phase(client, namespace, "Succeeded")
    assert sorted(write.split()[0] for write in written)[:2] == ["DELETE", "PATCH"], written
    assert sum(write.startswith("PATCH") for write in written) <= 3, written  # counted, who is missing, running again
    assert len(written) <= 5, written
    assert (done["status"]["restarts"], done["status"]["failure"]["exitCode"]) == (1, 3)


async def test_every_failure_counts_until_none_is_left(operator: Operator, client: Client, namespace: str) -> None:
    async with operator.running():
        await started(client, namespace, with_spec(restart={"limit": 2, "backoffSeconds": 0}))
        for number in (1, 2):
            await end_all(client, namespace, {"digits-worker-1": {}}, code=3)
            await successor(client, namespace, "digits-worker-1", number)
            await run_all(client, namespace, {"digits-worker-1": {}})
            await phase(client, namespace, "Running")
        await end_all(client, namespace, {"digits-worker-1": {}}, code=4)
        failed = await phase(client, namespace, "Failed")
    assert failed["status"]["message"].endswith("; 2 restarts before")
    assert (failed["status"]["restarts"], failed["status"]["failure"]["exitCode"]) == (2, 4)


async def test_an_eviction_is_a_disruption(operator: Operator, client: Client, namespace: str) -> None:
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    async with operator.running():
        await started(client, namespace, with_spec(restart={"limit": 0}))
        status = {"status": {"conditions": [disrupted]}}
        await client.patch(PODS, namespace, "digits-worker-0", status, subresource="status")
        await client.delete(PODS, namespace, "digits-worker-0", grace_seconds=0)
        await successor(client, namespace, "digits-worker-0", 1)
        events = await announced(client, namespace, "Disrupted")
        await run_all(client, namespace, {"digits-worker-0": {}})
        back = await phase(client, namespace, "Running")
    assert (back["status"]["restarts"], back["status"]["disruptions"]) == (0, 1)
    assert events["Disrupted"]["note"].startswith("Restarting after a disruption: worker-0: ")


async def test_a_finished_job_goes_when_its_time_has_come(operator: Operator, client: Client, namespace: str) -> None:
    async with operator.running():
        found = await started(client, namespace, with_spec(cleanup={"ttlSecondsAfterFinished": 1}))
        await end_all(client, namespace, found)
        await until(client, TRAINING_JOBS, namespace, lambda jobs: not jobs)
        await pods(client, namespace, 0)


@pytest.mark.parametrize("fate", ["gone", "not ready"])
async def test_a_pod_whose_node_is_lost_is_let_go_and_replaced(
    operator: Operator, client: Client, namespace: str, fate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers for the node, so that the pod would be in Terminating for ever."""
    monkeypatch.setattr(nodes, "OVERDUE_SECONDS", 0.5)
    monkeypatch.setattr(nodes, "AGAIN_SECONDS", 0.5)
    node = f"lost-{namespace}"
    ready = {"type": "Ready", "status": "Unknown"}
    made = with_spec(restart={} if fate == "gone" else {"forceDeleteSeconds": 1})
    made["spec"]["worker"]["template"]["spec"] |= {"nodeName": node, "terminationGracePeriodSeconds": 1}
    await client.create(NODES, None, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    await client.patch(NODES, None, node, {"status": {"conditions": [ready]}}, subresource="status")
    try:
        async with operator.running():
            await started(client, namespace, made)
            await client.delete(PODS, namespace, "digits-worker-1")
            await told(client, namespace, "waiting for pod digits-worker-1 to go")
            if fate == "gone":
                await client.delete(NODES, None, node)
            await successor(client, namespace, "digits-worker-1", 1)
            await run_all(client, namespace, {"digits-worker-1": {}})
            back = await phase(client, namespace, "Running")
    finally:
        await forget(client, node)
    assert (back["status"]["restarts"], back["status"]["disruptions"]) == (0, 1)


async def test_a_job_with_half_of_its_pods_gives_them_back_and_comes_again(
    operator: Operator, client: Client, api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(placement, "PAUSE_SECONDS", 1.0)
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        first = await pods(client, namespace, 2)
        target = {"target": {"kind": "Node", "name": "n1"}, "metadata": {"name": "digits-worker-0"}}
        path = f"/api/v1/namespaces/{namespace}/pods/digits-worker-0/binding"
        assert (await api("POST", path, target)).code == 201
        await run_all(client, namespace, {"digits-worker-0": {}})
        nowhere = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
        status = {"status": {"conditions": [nowhere]}}
        await client.patch(PODS, namespace, "digits-worker-1", status, subresource="status")
        await told(client, namespace, "Pending: 1/2 pods had nodes and the others found none: given back")
        await client.delete(PODS, namespace, "digits-worker-0", grace_seconds=0)  # as its kubelet would
        old = {pod["metadata"]["uid"] for pod in first.values()}
        again = await until(
            client, PODS, namespace, lambda now: len({pod["metadata"]["uid"] for pod in now.values()} - old) == 2
        )
        await run_all(client, namespace, again)
        back = await phase(client, namespace, "Running")
        events = await announced(client, namespace, "PodsGivenBack")
    assert (back["status"]["attempt"], back["status"]["restarts"]) == (0, 0)
    assert events["PodsGivenBack"]["type"] == "Warning"


async def forget(client: Client, node: str) -> None:
    try:
        await client.delete(NODES, None, node)
    except ApiError as error:
        if not error.not_found:
            raise
