"""Gangs, queues, suspension and other people's jobs on an API server; the tests play the kubelet and Kueue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cluster.api import Api
from support.operating import Operator, end_all, job, phase, pods, run_all, until
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import PODS, TRAINING_JOBS, Resource
from trireme.controller import planning
from trireme.controller.settings import Settings

Object = dict[str, Any]
Install = Callable[[Object], Awaitable[None]]
POD_GROUPS = Resource("scheduling.volcano.sh", "v1beta1", "podgroups", "PodGroup")
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(group: str, kind: str, spec: Object) -> Object:
    """A kind as its project brings it, as far as it concerns us: the API server drops what is not there."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


VOLCANO = definition(
    "scheduling.volcano.sh",
    "PodGroup",
    {
        "minMember": {"type": "integer", "format": "int32"},
        "queue": {"type": "string"},
        "priorityClassName": {"type": "string"},
    },
)
KUEUE = definition("kueue.x-k8s.io", "LocalQueue", {"clusterQueue": {"type": "string"}})
KUEUE["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/kueue"}


@pytest.fixture
def operator(kubeconfig_path: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setattr(planning, "FIRST_SECONDS", 0.1)
    settings = Settings(kubeconfig=kubeconfig_path, namespaces=(namespace,), key_file=tmp_path / "operator.key")
    return Operator(settings, monkeypatch)


@pytest.fixture
async def install(api: Api) -> AsyncIterator[Install]:
    """Makes a kind known to the cluster for as long as the test runs."""
    installed = []

    async def post(wanted: Object) -> None:
        installed.append(wanted["metadata"]["name"])
        answer = await api("POST", DEFINITIONS, wanted)
        assert answer.code == 201, answer

    yield post
    for name in installed:
        await api("DELETE", f"{DEFINITIONS}/{name}")


def scheduled(**said: Any) -> Object:
    made = job()
    made["spec"]["scheduling"] = said
    return made


async def message(client: Client, namespace: str, text: str) -> Object:
    """The job once its status says so."""
    found = await until(
        client, TRAINING_JOBS, namespace, lambda jobs: jobs["digits"].get("status", {}).get("message") == text
    )
    return found["digits"]


async def change(client: Client, namespace: str, **spec: Any) -> Object:
    return await client.patch(TRAINING_JOBS, namespace, "digits", {"spec": spec})


async def placed(client: Client, namespace: str, found: dict[str, Object], status: str, reason: str) -> None:
    """Says of the pods what a scheduler would."""
    condition = {"type": "PodScheduled", "status": status, "reason": reason}
    for name in found:
        await client.patch(PODS, namespace, name, {"status": {"conditions": [condition]}}, subresource="status")


async def test_a_gang_waits_for_its_kind_and_is_made_with_it(
    operator: Operator, client: Client, namespace: str, install: Install
) -> None:
    wanted = scheduled(gang="Volcano", queue="research", priorityClassName="system-node-critical")
    del wanted["spec"]["worker"]["template"]["spec"]["schedulerName"]
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, wanted)
        waiting = await message(
            client,
            namespace,
            "Pending: gang Volcano needs PodGroup of scheduling.volcano.sh/v1beta1, and the API server serves none",
        )
        assert [(c["type"], c["status"], c["reason"]) for c in waiting["status"]["conditions"]] == [
            ("Scheduled", "False", "GangUnavailable"),
            ("Running", "False", "GangUnavailable"),
        ]
        assert not await pods(client, namespace, 0)
        await install(VOLCANO)
        found = await pods(client, namespace, 2)
        groups, _ = await client.list(POD_GROUPS, namespace)
    (group,) = groups
    assert group["spec"] == {"minMember": 2, "queue": "research", "priorityClassName": "system-node-critical"}
    assert group["metadata"]["ownerReferences"][0]["uid"] == waiting["metadata"]["uid"]
    for pod in found.values():
        assert pod["metadata"]["annotations"]["scheduling.k8s.io/group-name"] == group["metadata"]["name"]
        assert pod["spec"]["schedulerName"] == "volcano"


async def test_a_queue_holds_the_pods_back_and_is_named(
    operator: Operator, client: Client, namespace: str, install: Install
) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, scheduled(queue="research"))
        text = "Pending: queue research needs Kueue, and the API server serves no LocalQueue"
        await message(client, namespace, text)
        await install(KUEUE)
        found = await pods(client, namespace, 2)
        await placed(client, namespace, found, "False", "SchedulingGated")
        waiting = await message(client, namespace, "Pending: 2/2 wait for admission by queue research")
        assert waiting["status"]["conditions"][0]["reason"] == "SchedulingGated"
        labels = [pod["metadata"]["labels"] for pod in found.values()]
        assert {label["kueue.x-k8s.io/queue-name"] for label in labels} == {"research"}
        assert len({label["kueue.x-k8s.io/pod-group-name"] for label in labels}) == 1
        await placed(client, namespace, found, "True", "Scheduled")
        await run_all(client, namespace, found)
        await phase(client, namespace, "Running")


async def test_a_job_is_suspended_and_resumed_with_more_replicas(
    operator: Operator, client: Client, namespace: str
) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        first = await pods(client, namespace, 2)
        await run_all(client, namespace, first)
        await phase(client, namespace, "Running")
        with pytest.raises(ApiError, match="replicas cannot change after the job has started"):
            await change(client, namespace, worker={"replicas": 3})
        await change(client, namespace, suspend=True)
        await pods(client, namespace, 0)
        idle = await message(client, namespace, "Suspended: set spec.suspend to false to run it")
        assert (idle["status"]["phase"], idle["status"]["suspensions"]) == ("Suspended", 1)
        assert "startTime" not in idle["status"]
        await change(client, namespace, suspend=False, worker={"replicas": 3})
        second = await pods(client, namespace, 3)
        assert {pod["metadata"]["uid"] for pod in first.values()}.isdisjoint(
            pod["metadata"]["uid"] for pod in second.values()
        )
        await run_all(client, namespace, second)
        await phase(client, namespace, "Running")
        await end_all(client, namespace, second)
        done = await phase(client, namespace, "Succeeded")
    assert done["status"]["attempt"] == 0
    suspended = operator.writes.index(f"DELETE /api/v1/namespaces/{namespace}/pods/digits-worker-0")
    assert operator.writes[suspended - 1].startswith("PATCH")  # write-ahead: the suspension, then the first deletion


async def test_a_job_that_is_suspended_from_the_first_waits_without_pods(
    operator: Operator, client: Client, namespace: str
) -> None:
    wanted = job()
    wanted["spec"]["suspend"] = True
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, wanted)
        await message(client, namespace, "Suspended before all pods ran: set spec.suspend to false to run it")
        assert len(operator.writes) == 1
        await change(client, namespace, suspend=False)
        await pods(client, namespace, 2)


async def test_a_job_of_another_controller_is_left_alone(operator: Operator, client: Client, namespace: str) -> None:
    theirs = job(name="theirs")
    theirs["spec"]["managedBy"] = "kueue.x-k8s.io/multikueue"
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, theirs)
        await client.create(TRAINING_JOBS, namespace, job())
        await run_all(client, namespace, await pods(client, namespace, 2))
        await phase(client, namespace, "Running")
        with pytest.raises(ApiError, match="field is immutable"):
            await client.patch(TRAINING_JOBS, namespace, "theirs", {"spec": {"managedBy": "trireme.dev/operator"}})
    left = await client.get(TRAINING_JOBS, namespace, "theirs")
    assert left["status"] == {"phase": "Pending", "message": "Pending: no operator has seen it yet"}
    assert not [write for write in operator.writes if "theirs" in write]
