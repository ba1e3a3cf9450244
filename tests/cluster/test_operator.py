"""The operator on an API server, from the job's creation to its end; the tests play the kubelet."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.operating import Operator, end_all, job, phase, play, pods, run_all, told, until
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import CONFIG_MAPS, PODS, SECRETS, SERVICES, TRAINING_JOBS
from trireme.contract.names import LABEL_MANAGED_BY
from trireme.controller import effects
from trireme.controller.reconcile import Reconciler
from trireme.controller.settings import Settings
from trireme.lifecycle import assemble


@pytest.fixture
def operator(kubeconfig_path: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    settings = Settings(kubeconfig=kubeconfig_path, namespaces=(namespace,), key_file=tmp_path / "operator.key")
    return Operator(settings, monkeypatch)


async def test_a_job_runs_and_succeeds_within_its_budget_of_writes(
    operator: Operator, client: Client, namespace: str
) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job(replicas=3))
        found = await pods(client, namespace, 3)
        labels = {name: pod["metadata"]["labels"] for name, pod in found.items()}
        assert labels == {
            f"digits-worker-{index}": {
                "app.kubernetes.io/managed-by": "trireme",
                "trireme.dev/job": "digits",
                "trireme.dev/role": "worker",
                "trireme.dev/index": str(index),
                "trireme.dev/attempt": "0",
            }
            for index in range(3)
        }
        await told(client, namespace, "Pending: 0/3 pods run")
        launch = [write for write in operator.writes if not write.endswith("/configmaps")]
        await run_all(client, namespace, found)
        running = await phase(client, namespace, "Running")
        assert running["status"]["workersReady"] == "3/3"
        await end_all(client, namespace, found)
        done = await phase(client, namespace, "Succeeded")
    assert done["status"]["message"].startswith("Succeeded: 3 pods, 3 processes in ")
    assert len(launch) <= 3 + 5, launch  # with the first status; the ConfigMap is the namespace's
    assert sum(write.startswith("PATCH") for write in operator.writes) <= 6, operator.writes
    assert set(await pods(client, namespace, 3)) == set(found)  # cleanup.pods is Running: finished pods keep their logs


async def test_a_failing_pod_fails_the_job_and_its_peers_go(operator: Operator, client: Client, namespace: str) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, spent(job()))
        found = await pods(client, namespace, 2)
        await run_all(client, namespace, found)
        await phase(client, namespace, "Running")
        await end_all(client, namespace, {"digits-worker-1": {}}, code=3)
        failed = await phase(client, namespace, "Failed")
        assert failed["status"]["failure"] == {
            "role": "worker", "index": 1, "pod": "digits-worker-1", "exitCode": 3, "reason": "Error",
            "message": failed["status"]["failure"]["message"], "logTail": [],
        }  # fmt: skip
        assert set(await pods(client, namespace, 1)) == {"digits-worker-1"}


async def test_the_reason_of_a_pending_job_is_told(operator: Operator, client: Client, namespace: str) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        await pods(client, namespace, 2)
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        await play(client, namespace, "digits-worker-1", waiting, "Pending")
        text = "worker-1: ImagePullBackOff: no such image"
        await until(
            client, TRAINING_JOBS, namespace, lambda jobs: jobs["digits"].get("status", {}).get("message") == text
        )


async def test_a_pod_deleted_before_the_start_is_made_again(operator: Operator, client: Client, namespace: str) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        found = await pods(client, namespace, 2)
        old = found["digits-worker-0"]["metadata"]["uid"]
        await client.delete(PODS, namespace, "digits-worker-0", grace_seconds=0)
        await until(
            client,
            PODS,
            namespace,
            lambda now: "digits-worker-0" in now and now["digits-worker-0"]["metadata"]["uid"] != old,
        )


async def test_what_pods_lean_on_is_made_again_when_they_do_not_start(
    operator: Operator, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assemble, "SLOW_START_SECONDS", 1.0)
    monkeypatch.setattr(effects, "RENEW_SECONDS", 0.0)
    bound = job()
    bound["spec"]["worker"]["template"]["spec"]["nodeName"] = "node-a"
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, bound)
        found = await pods(client, namespace, 2)
        gone = {}
        for resource in (CONFIG_MAPS, SECRETS, SERVICES):
            items, _ = await client.list(resource, namespace)
            (gone[resource],) = [
                item["metadata"] for item in items if LABEL_MANAGED_BY in item["metadata"].get("labels", ())
            ]
            await client.delete(resource, namespace, gone[resource]["name"])
        for name in found:
            await play(client, namespace, name, {"waiting": {"reason": "ContainerCreating"}}, "Pending")
        for resource, old in gone.items():
            name, uid = old["name"], old["uid"]
            await until(
                client, resource, namespace,
                lambda now, name=name, uid=uid: name in now and now[name]["metadata"]["uid"] != uid,
            )  # fmt: skip


async def test_a_job_deleted_midway_leaves_nothing(operator: Operator, client: Client, namespace: str) -> None:
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        await run_all(client, namespace, await pods(client, namespace, 2))
        await client.delete(TRAINING_JOBS, namespace, "digits", propagation="Background")
        for resource in (PODS, SERVICES, SECRETS):
            assert not await until(client, resource, namespace, lambda found: not found)
    agents = await until(client, CONFIG_MAPS, namespace, lambda _: True)
    assert [name for name in agents if not name.endswith("ca.crt")] == [
        name for name in agents if name.startswith("trireme-agent-")
    ]


async def test_two_jobs_of_one_name_in_turn(operator: Operator, client: Client, namespace: str) -> None:
    async with operator.running():
        first = await client.create(TRAINING_JOBS, namespace, job())
        await run_all(client, namespace, await pods(client, namespace, 2))
        await phase(client, namespace, "Running")
        await client.delete(TRAINING_JOBS, namespace, "digits", propagation="Background")
        second = await client.create(TRAINING_JOBS, namespace, job(replicas=1))
        uid = second["metadata"]["uid"]
        found = await until(
            client,
            PODS,
            namespace,
            lambda now: {pod["metadata"]["ownerReferences"][0]["uid"] for pod in now.values()} == {uid},
        )
        assert list(found) == ["digits-worker-0"]
        await until(client, SERVICES, namespace, lambda now: _owners(now) == {uid})
        await run_all(client, namespace, found)
        await end_all(client, namespace, found)
        done = await phase(client, namespace, "Succeeded")
    assert done["metadata"]["uid"] == uid != first["metadata"]["uid"]


async def test_an_invalid_template_fails_with_all_its_problems(
    operator: Operator, client: Client, namespace: str
) -> None:
    broken = job()
    container = broken["spec"]["worker"]["template"]["spec"]["containers"][0]
    del container["command"]
    container["imagePullPolicies"] = "Never"
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, broken)
        failed = await phase(client, namespace, "Failed")
    (condition,) = failed["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Failed", "True", "InvalidSpec")
    assert "containers[0].command" in condition["message"]
    assert "containers[0].imagePullPolicies" in condition["message"]
    assert len(operator.writes) == 1


async def test_a_stranger_under_our_name_is_named_and_waited_for(
    operator: Operator, client: Client, namespace: str
) -> None:
    stranger = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "digits-worker-1"},
        "spec": {"schedulerName": "none", "containers": [{"name": "c", "image": "i"}]},
    }
    await client.create(PODS, namespace, stranger)
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        await until(
            client,
            TRAINING_JOBS,
            namespace,
            lambda jobs: "digits-worker-1 exists already" in jobs["digits"].get("status", {}).get("message", ""),
        )
        await client.delete(PODS, namespace, "digits-worker-1", grace_seconds=0)
        await until(client, PODS, namespace, lambda now: len(now) == 2 and len(_owners(now)) == 1)


@dataclass(frozen=True)
class Life:
    """What becomes of worker 1, and how it is told. Worker 0 runs on to its success, or is cleaned up."""

    verdict: str = "Succeeded"
    code: int = 0
    deleted: bool = False
    limit: int = 3
    counts: tuple[int, int, int] = (0, 0, 0)
    """attempt, restarts, disruptions"""
    first: int = 0
    """Write from which on its life is another than that of a job that succeeds."""
    writes: int = 14
    """At most: six things that pods lean on, two pods, status, clean-up; for a second attempt a pod and its status."""

    @property
    def struck(self) -> bool:
        return self.deleted or self.code > 0


LIVES = {
    "succeeds": Life(),
    "fails": Life("Failed", code=3, limit=0),
    "restarts": Life(code=3, counts=(1, 1, 0), first=9, writes=20),
    "is disrupted": Life(deleted=True, counts=(1, 0, 1), first=9, writes=19),
}
POINTS = [
    pytest.param(life, at, id=f"{name}-{at}") for name, life in LIVES.items() for at in range(life.first, life.writes)
]


@pytest.mark.parametrize(("life", "writes"), POINTS)
async def test_killed_after_any_write_it_goes_on_and_makes_nothing_twice(
    operator: Operator, client: Client, namespace: str, writes: int, life: Life
) -> None:
    """A life that is over before so many writes ran undisturbed."""
    _, begin = await client.list(PODS, namespace)
    operator.die_at = writes
    async with operator.running(status_seconds=0.05):
        await client.create(TRAINING_JOBS, namespace, wholly_cleaned_up(life))
        kubelet = asyncio.create_task(_live(client, namespace, life))
        dead = asyncio.create_task(operator.dead.wait())
        await asyncio.wait((kubelet, dead), timeout=20, return_when=asyncio.FIRST_COMPLETED)
        for task in (kubelet, dead):
            task.cancel()
        await asyncio.wait((kubelet, dead))
    operator.die_at = None
    async with operator.running(status_seconds=0.05), asyncio.timeout(20):
        await _live(client, namespace, life)
        done = (await phase(client, namespace, life.verdict))["status"]
        await pods(client, namespace, 0)
    lines = client.watch(PODS, namespace, resource_version=begin, timeout_seconds=1)
    events = [json.loads(line) async for line in lines]
    added = sorted(event["object"]["metadata"]["name"] for event in events if event["type"] == "ADDED")
    attempt, restarts, disruptions = life.counts
    assert added == ["digits-worker-0", *["digits-worker-1"] * (1 + attempt)]
    assert (done["attempt"], done["restarts"], done["disruptions"]) == (attempt, restarts, disruptions)
    assert done.get("failure", {}).get("exitCode", 0) == life.code
    assert len(operator.writes) <= life.writes + writes  # what was not confirmed may be tried again


def spent(made: dict[str, Any]) -> dict[str, Any]:
    """Without a restart left."""
    made["spec"]["restart"] = {"limit": 0}
    return made


def wholly_cleaned_up(life: Life) -> dict[str, Any]:
    made = job()
    made["spec"] |= {"cleanup": {"pods": "All"}, "restart": {"limit": life.limit}}
    return made


async def _live(client: Client, namespace: str, life: Life) -> None:
    """What a kubelet does, as long as there are pods; returns when the job has its verdict and they are gone."""
    jobs = await until(client, TRAINING_JOBS, namespace, lambda _: True)
    if jobs["digits"].get("status", {}).get("completionTime") is None:
        found = await pods(client, namespace, 2)
        if life.struck and _whole(found["digits-worker-1"], attempt=0):
            await _run(client, namespace, found)
            await _strike(client, namespace, life)
        if life.verdict == "Succeeded":
            found = await until(
                client, PODS, namespace, lambda now: _whole(now.get("digits-worker-1"), attempt=life.counts[0])
            )
            await _run(client, namespace, found)
            await end_all(client, namespace, found)
    await pods(client, namespace, 0)


def _whole(pod: dict[str, Any] | None, attempt: int) -> bool:
    """It is there, of that attempt, and nothing has happened to it."""
    return (
        pod is not None
        and pod["metadata"]["labels"]["trireme.dev/attempt"] == str(attempt)
        and pod["status"]["phase"] != "Failed"
    )


async def _run(client: Client, namespace: str, found: dict[str, Any]) -> None:
    await run_all(client, namespace, {name: pod for name, pod in found.items() if pod["status"]["phase"] == "Pending"})
    await phase(client, namespace, "Running")


async def _strike(client: Client, namespace: str, life: Life) -> None:
    if life.deleted:
        await client.delete(PODS, namespace, "digits-worker-1", grace_seconds=0)
    else:
        await end_all(client, namespace, {"digits-worker-1": {}}, life.code)


async def test_a_job_that_went_unseen_is_not_brought_back(operator: Operator, client: Client, namespace: str) -> None:
    """The operator stands still while the job is deleted; what it then believes is stale."""
    operator.die_at = 4  # status, Service, Secret, ConfigMap: no pod yet
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        await operator.dead.wait()
    await client.delete(TRAINING_JOBS, namespace, "digits", propagation="Background")
    operator.die_at = None
    async with operator.running():
        await until(client, SERVICES, namespace, lambda found: not found)
    with pytest.raises(ApiError, match="not found"):
        await client.get(TRAINING_JOBS, namespace, "digits")
    assert not await pods(client, namespace, 0)


def _owners(found: dict[str, dict]) -> set[str]:  # type: ignore[type-arg]
    return {owner["uid"] for obj in found.values() for owner in obj["metadata"].get("ownerReferences", ())}


async def test_pods_of_another_job_cost_a_job_nothing(
    operator: Operator, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    look = Reconciler.__call__

    async def noted(self: Reconciler, key: tuple[str, str]) -> None:
        looked_at.append(key[1])
        await look(self, key)

    monkeypatch.setattr(Reconciler, "__call__", noted)
    async with operator.running():
        for number, name in enumerate(("quiet", "busy"), start=1):
            await client.create(TRAINING_JOBS, namespace, job(1, name))
            await pods(client, namespace, number)
            await run_all(client, namespace, {f"{name}-worker-0": {}})
            await phase(client, namespace, "Running", name)
        looked_at.clear()
        for number in range(20):
            said = {"status": {"message": str(number)}}
            await client.patch(PODS, namespace, "busy-worker-0", said, subresource="status")
        await end_all(client, namespace, {"busy-worker-0": {}})
        await phase(client, namespace, "Succeeded", "busy")
        assert set(looked_at) == {"busy"}
        assert len(looked_at) < 20, "a swarm of events is looked at together"
