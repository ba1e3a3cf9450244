"""An elastic job on an API server: it starts with the minimum and is scaled as `kubectl scale` does it; the tests play
the kubelet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.operating import Operator, job, phase, pods, run_all, told, until
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import POD_DISRUPTION_BUDGETS, PODS, TRAINING_JOBS
from trireme.controller.settings import Settings

Object = dict[str, Any]


@pytest.fixture
def operator(kubeconfig_path: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    settings = Settings(kubeconfig=kubeconfig_path, namespaces=(namespace,), key_file=tmp_path / "operator.key")
    return Operator(settings, monkeypatch)


def elastic(replicas: int) -> Object:
    made = job(replicas)
    made["spec"]["elastic"] = {"minReplicas": 2, "maxReplicas": 4}
    return made


async def scale(client: Client, namespace: str, replicas: int) -> None:
    await client.patch(TRAINING_JOBS, namespace, "digits", {"spec": {"replicas": replicas}}, subresource="scale")


async def left(client: Client, namespace: str, *indices: int) -> dict[str, Object]:
    """The pods, once only those of these indices are there and none is on its way out."""
    names = {f"digits-worker-{index}" for index in indices}
    return await until(
        client, PODS, namespace, lambda found: found.keys() == names and not any(map(_going, found.values()))
    )


def _going(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


async def test_it_starts_with_the_minimum_and_follows_its_scale(
    operator: Operator, client: Client, namespace: str
) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, elastic(3))
        found = await pods(client, namespace, 3)
        await run_all(client, namespace, {name: found[name] for name in ("digits-worker-0", "digits-worker-1")})
        await told(client, namespace, "Running: 2/3 pods (elastic 2-4)")
        await scale(client, namespace, 4)
        grown = await pods(client, namespace, 4)
        await run_all(client, namespace, {name: grown[name] for name in ("digits-worker-2", "digits-worker-3")})
        await told(client, namespace, "Running: 4/4 pods (elastic 2-4)")
        await scale(client, namespace, 2)
        rest = await left(client, namespace, 0, 1)
        shrunk = await told(client, namespace, "Running: 2/2 pods (elastic 2-4)")
        with pytest.raises(ApiError, match=r"replicas must be at most elastic\.maxReplicas"):
            await scale(client, namespace, 5)
        with pytest.raises(ApiError, match=r"replicas must be at least elastic\.minReplicas"):
            await scale(client, namespace, 1)
    status = shrunk["status"]
    assert (status["phase"], status["attempt"], status.get("disruptions", 0)) == ("Running", 0, 0)
    assert {name: pod["metadata"]["uid"] for name, pod in rest.items()} == {
        name: found[name]["metadata"]["uid"] for name in rest
    }


async def test_its_disruption_budget_follows_an_edit_before_the_start(
    operator: Operator, client: Client, namespace: str
) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job(3))
        await budgeted(client, namespace, {"maxUnavailable": 0})
        bounds = {"minReplicas": 2, "maxReplicas": 4}
        await client.patch(TRAINING_JOBS, namespace, "digits", {"spec": {"elastic": bounds}})
        await budgeted(client, namespace, {"minAvailable": 2})


async def budgeted(client: Client, namespace: str, limit: dict[str, int]) -> None:
    """Once a drain may take no more than this."""

    def limits(found: dict[str, Object]) -> list[Object]:
        return [{key: value for key, value in each["spec"].items() if key != "selector"} for each in found.values()]

    await until(client, POD_DISRUPTION_BUDGETS, namespace, lambda found: limits(found) == [limit])


async def test_another_job_does_not_follow_its_scale_once_it_runs(
    operator: Operator, client: Client, namespace: str
) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        await run_all(client, namespace, await pods(client, namespace, 2))
        await phase(client, namespace, "Running")
        with pytest.raises(ApiError, match="unless it is elastic"):
            await scale(client, namespace, 3)
