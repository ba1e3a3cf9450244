"""What stands in a job's way and others have to mend: told in the job, announced, tried ever less often, got over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster.api import Api
from support.ear import ear
from support.operating import JOB, Operator, announced, job, pods, run_all, told
from trireme.cluster.client import Client
from trireme.cluster.resources import CONFIG_MAPS, NAMESPACES, TRAINING_JOBS
from trireme.controller import effects
from trireme.controller.settings import Settings
from trireme.pocket.apiserver import ApiServer
from trireme.pocket.apiserver.faults import Rule

Object = dict[str, Any]
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


@dataclass(frozen=True)
class Wall:
    """One that lets no pod through."""

    says: str
    objects: tuple[tuple[str, Object], ...]
    """What makes it on a real server: path of the collection, manifest. NAMESPACE stands for the test's own."""
    answer: tuple[int, str]
    """Code and words of such a server, for the pocket, which has no such objects."""


WALLS = {
    "quota": Wall(
        "exceeded quota: none",
        (("/api/v1/namespaces/NAMESPACE/resourcequotas",
          {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}),),
        (403, 'pods "digits-worker-0" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, '
              "limited: pods=0"),
    ),
    "limit range": Wall(
        "minimum memory usage per Pod is 1Gi",
        (("/api/v1/namespaces/NAMESPACE/limitranges",
          {"metadata": {"name": "big"}, "spec": {"limits": [{"type": "Pod", "min": {"memory": "1Gi"}}]}}),),
        (403, 'pods "digits-worker-0" is forbidden: minimum memory usage per Pod is 1Gi. No request is specified'),
    ),
    "admission policy": Wall(
        "no trainers here",
        ((f"{ADMISSION}/validatingadmissionpolicies", {
            "metadata": {"name": "NAMESPACE"},
            "spec": {
                "matchConstraints": {"resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                ]},
                "validations": [{"expression": "false", "message": "no trainers here"}],
            },
        }), (f"{ADMISSION}/validatingadmissionpolicybindings", {
            "metadata": {"name": "NAMESPACE"},
            "spec": {
                "policyName": "NAMESPACE", "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "NAMESPACE"}}},
            },
        })),
        (422, "pods \"digits-worker-0\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: "
              "no trainers here"),
    ),
}  # fmt: skip


@pytest.fixture
def operator(kubeconfig_path: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setattr(effects, "HOLD_FIRST_SECONDS", 0.1)
    settings = Settings(
        kubeconfig=kubeconfig_path, namespaces=(namespace,), key_file=tmp_path / "operator.key", status_seconds=0.05
    )
    return Operator(settings, monkeypatch)


@asynccontextmanager
async def standing(wall: Wall, pocket: ApiServer | None, api: Api, namespace: str) -> AsyncIterator[None]:
    """From the moment when it refuses a pod."""
    if pocket is not None:
        code, message = wall.answer
        pocket.faults.add(Rule(code, verbs=frozenset({"create"}), resources=frozenset({"pods"}), message=message))
        yield
        pocket.faults.clear()
        return
    objects = [(path.replace("NAMESPACE", namespace), _placed(manifest, namespace)) for path, manifest in wall.objects]
    probe = {"metadata": {"name": "probe"}, **JOB["spec"]["worker"]["template"]}
    try:
        for path, manifest in objects:
            assert (await api("POST", path, manifest)).code == 201
        while True:
            if (await api("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", probe)).code != 201:
                break
            await asyncio.sleep(0.05)
        yield
    finally:
        for path, manifest in reversed(objects):
            await api("DELETE", f"{path}/{manifest['metadata']['name']}")


def _placed(value: Any, namespace: str) -> Any:
    if isinstance(value, dict):
        return {key: _placed(each, namespace) for key, each in value.items()}
    if isinstance(value, list):
        return [_placed(each, namespace) for each in value]
    return value.replace("NAMESPACE", namespace) if isinstance(value, str) else value


@pytest.mark.parametrize("wall", WALLS.values(), ids=list(WALLS))
async def test_a_wall_is_told_and_tried_ever_less_often_until_it_falls(
    operator: Operator, client: Client, api: Api, namespace: str, pocket: ApiServer | None, wall: Wall
) -> None:
    async with operator.running():
        with ear("hold job=") as holds:
            async with standing(wall, pocket, api, namespace):
                await client.create(TRAINING_JOBS, namespace, job())
                stuck = await told(client, namespace, wall.says)
                assert stuck["status"]["message"].startswith("Pending: the API server refuses: ")
                events = await announced(client, namespace, "Refused")
                await holds.wait(4)
                tries = operator.writes.count(f"POST /api/v1/namespaces/{namespace}/pods")
                assert tries <= 2 * (len(holds.lines) + 1)
            pauses = [float(line.split("seconds=")[1].split()[0]) for line in holds.lines]
        found = await pods(client, namespace, 2)
        await run_all(client, namespace, found)
        await told(client, namespace, "Running: 2/2 pods")
    assert {each["type"]: each["status"] for each in stuck["status"]["conditions"]}["Running"] == "False"
    assert wall.says in events["Refused"]["note"]
    assert events["Refused"]["type"] == "Warning"
    assert pauses[3] >= 0.4  # the first is 0.1 at most


async def test_a_namespace_that_goes_away_gets_no_storm_of_pods(
    operator: Operator, client: Client, namespace: str
) -> None:
    """Something in it has a finalizer: it stays Terminating for as long as that is there."""
    anchor = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "anchor", "finalizers": ["test/anchor"]}}
    held = job()
    held["metadata"]["finalizers"] = ["test/anchor"]
    async with operator.running():
        await client.create(CONFIG_MAPS, namespace, anchor)
        await client.create(TRAINING_JOBS, namespace, held)
        await pods(client, namespace, 2)
        before = len(operator.writes)
        await client.delete(NAMESPACES, None, namespace)
        await pods(client, namespace, 0)
        await client.patch(TRAINING_JOBS, namespace, "digits", {"metadata": {"finalizers": None}})
        await client.patch(CONFIG_MAPS, namespace, "anchor", {"metadata": {"finalizers": None}})
        assert len(operator.writes) - before <= 12, operator.writes


async def test_what_a_namespace_that_goes_away_answers_is_a_refusal(
    operator: Operator, client: Client, namespace: str, pocket: ApiServer | None
) -> None:
    if pocket is None:
        pytest.skip("a real one deletes the job within the second")
    words = f"unable to create new content in namespace {namespace} because it is being terminated"
    await client.create(TRAINING_JOBS, namespace, job())
    pocket.faults.add(Rule(403, verbs=frozenset({"create"}), message=f'services "tj-digits" is forbidden: {words}'))
    with ear("hold job=") as holds:
        async with operator.running():
            await told(client, namespace, words)
            await holds.wait(4)
    assert len(operator.writes) <= 8 * (len(holds.lines) + 1)


def forbidden(verb: str, resource: str) -> Rule:
    """How an API server refuses what no role allows. test_operator_rbac takes the rights away on a real one."""
    words = f'{resource} is forbidden: User "operator" cannot {verb} resource "{resource}" in API group ""'
    return Rule(403, verbs=frozenset({verb}), resources=frozenset({resource}), message=words)


@pytest.mark.parametrize(
    "resource", ["pods", "services", "secrets", "configmaps", "networkpolicies", "poddisruptionbudgets"]
)
async def test_a_right_that_is_missing_is_told_by_its_verb_and_resource(
    operator: Operator, client: Client, namespace: str, pocket: ApiServer | None, resource: str
) -> None:
    if pocket is None:
        pytest.skip("test_operator_rbac does it with roles")
    pocket.faults.add(forbidden("create", resource))
    async with operator.running():
        with ear("hold job=") as holds:
            await client.create(TRAINING_JOBS, namespace, job())
            stuck = await told(client, namespace, f'cannot create resource "{resource}"')
            events = await announced(client, namespace, "Refused")
            await holds.wait(4)
        pocket.faults.clear()
        await pods(client, namespace, 2)
    conditions = {each["type"]: (each["status"], each["reason"]) for each in stuck["status"]["conditions"]}
    assert conditions["Running"] == ("False", "Refused")
    assert f'cannot create resource "{resource}"' in events["Refused"]["note"]
    pauses = [float(line.split("seconds=")[1].split()[0]) for line in holds.lines]
    assert pauses[3] >= 0.4  # the first is 0.1 at most


@pytest.mark.parametrize(
    ("verb", "resource"), [("patch", "trainingjobs/status"), ("get", "trainingjobs")], ids=["status", "get"]
)
async def test_a_right_without_which_no_status_can_be_written_is_an_event(
    operator: Operator, client: Client, namespace: str, pocket: ApiServer | None, verb: str, resource: str
) -> None:
    if pocket is None:
        pytest.skip("test_operator_rbac does it with roles")
    rule = forbidden(verb, resource)
    with ear("retry job=") as retries:
        async with operator.running():
            pocket.faults.add(rule)
            await client.create(TRAINING_JOBS, namespace, job())
            events = await announced(client, namespace, "ReconcileFailed")
            await retries.wait(4)
            struck = pocket.faults.struck(rule)
            pocket.faults.clear()
            await pods(client, namespace, 2)
            await told(client, namespace, "Pending: 0/2 pods run")
    assert f'cannot {verb} resource "{resource}"' in events["ReconcileFailed"]["note"]
    pauses = [float(line.split("seconds=")[1].split()[0]) for line in retries.lines]
    assert pauses[3] > pauses[0]
    assert struck <= len(retries.lines) + 1
