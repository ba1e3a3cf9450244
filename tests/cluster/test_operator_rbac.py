"""The rights that the project ships are enough, and each one that is missing is named. On a real server only."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.api import Api
from support.ear import ear
from support.operating import Operator, announced, end_all, job, phase, pods, run_all, told, until
from trireme.cluster.client import Client
from trireme.cluster.resources import TRAINING_JOBS
from trireme.controller.settings import Settings
from trireme.pocket.apiserver import ApiServer

RBAC = Path(__file__).parents[2] / "manifests" / "rbac.yaml"
Object = dict[str, Any]
Grant = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def real(pocket: ApiServer | None) -> None:
    if pocket is not None:
        pytest.skip("the pocket has one user, who may do everything; TRIREME_TEST_KUBECONFIG names a real server")


def shipped() -> list[Object]:
    documents = yaml.safe_load_all(RBAC.read_text(encoding="utf-8"))
    (role,) = (each for each in documents if each["kind"] == "ClusterRole" and each["metadata"]["name"] == "trireme")
    rules: list[Object] = role["rules"]
    return rules


def without(verb: str, resource: str) -> list[Object]:
    """The shipped rules less one right."""
    rules = []
    for rule in copy.deepcopy(shipped()):
        rest = {**rule, "verbs": [each for each in rule["verbs"] if each != verb]}
        if resource not in rule["resources"]:
            rules.append(rule)
            continue
        rules.append({**rule, "resources": [each for each in rule["resources"] if each != resource]})
        rules.append({**rest, "resources": [resource]})
    return [rule for rule in rules if rule["resources"] and rule["verbs"]]


@pytest.fixture
def grant(api: Api, namespace: str) -> Grant:
    """Gives the operator's account these rules, and no others."""

    async def grant(rules: list[Object]) -> None:
        role = {"metadata": {"name": "operator"}, "rules": rules}
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles"
        if (await api("POST", path, role)).code == 409:
            assert (await api("PUT", f"{path}/operator", role)).code == 200

    return grant


@pytest.fixture
async def operator(
    api: Api, namespace: str, kubeconfig: Object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Operator:
    """With an account of its own in the test's namespace."""
    core, rbac = f"/api/v1/namespaces/{namespace}", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    assert (await api("POST", f"{core}/serviceaccounts", {"metadata": {"name": "operator"}})).code == 201
    binding = {
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}],
    }
    assert (await api("POST", f"{rbac}/rolebindings", binding)).code == 201
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = (await api("POST", f"{core}/serviceaccounts/operator/token", asked)).body["status"]["token"]
    path = tmp_path / "account"
    users = [{**each, "user": {"token": token}} for each in kubeconfig["users"]]
    path.write_text(yaml.safe_dump({**kubeconfig, "users": users}))
    settings = Settings(kubeconfig=path, namespaces=(namespace,), key_file=tmp_path / "operator.key")
    return Operator(settings, monkeypatch)


async def test_what_is_shipped_is_enough(operator: Operator, client: Client, namespace: str, grant: Grant) -> None:
    await grant(shipped())
    with ear("forbidden") as forbidden:
        async with operator.running():
            made = job()
            made["spec"] |= {"restart": {"limit": 0}, "cleanup": {"pods": "None", "ttlSecondsAfterFinished": 15}}
            await client.create(TRAINING_JOBS, namespace, made)
            found = await pods(client, namespace, 2)
            await run_all(client, namespace, found)
            await phase(client, namespace, "Running")
            await end_all(client, namespace, {"digits-worker-1": {}}, code=3)
            await phase(client, namespace, "Failed")
            await announced(client, namespace, "Running", "Failed")
            await until(client, TRAINING_JOBS, namespace, lambda jobs: not jobs)
    assert forbidden.lines == []


@pytest.mark.parametrize(
    "resource",
    ["pods", "services", "secrets", "configmaps", "networkpolicies", "poddisruptionbudgets"],
)
async def test_what_may_not_be_created_is_told_in_the_job(
    operator: Operator, client: Client, namespace: str, grant: Grant, resource: str
) -> None:
    await grant(without("create", resource))
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        await told(client, namespace, f'cannot create resource "{resource}" in API group')
        events = await announced(client, namespace, "Refused")
        assert f'cannot create resource "{resource}"' in events["Refused"]["note"]
        await grant(shipped())
        await pods(client, namespace, 2)


@pytest.mark.parametrize(
    ("verb", "resource"), [("patch", "trainingjobs/status"), ("get", "trainingjobs")], ids=["status", "get"]
)
async def test_what_keeps_the_operator_from_its_work_is_an_event(
    operator: Operator, client: Client, namespace: str, grant: Grant, verb: str, resource: str
) -> None:
    await grant(without(verb, resource))
    words = f'cannot {verb} resource "{resource}"'
    with ear("retry job=") as retries:
        async with operator.running():
            await client.create(TRAINING_JOBS, namespace, job())
            events = await announced(client, namespace, "ReconcileFailed")
            await retries.wait(4)
            pauses = [float(line.split("seconds=")[1].split()[0]) for line in retries.lines]
            await grant(shipped())
            await pods(client, namespace, 2)
    assert words in events["ReconcileFailed"]["note"]
    assert words in retries.lines[0]
    assert pauses[3] > pauses[0]


async def test_pods_that_may_not_be_deleted_are_an_event(
    operator: Operator, client: Client, namespace: str, grant: Grant
) -> None:
    await grant(without("delete", "pods"))
    async with operator.running():
        made = job()
        made["spec"]["restart"] = {"limit": 0}
        await client.create(TRAINING_JOBS, namespace, made)
        await run_all(client, namespace, await pods(client, namespace, 2))
        await phase(client, namespace, "Running")
        await end_all(client, namespace, {"digits-worker-1": {}}, code=3)
        events = await announced(client, namespace, "ReconcileFailed")
        await grant(shipped())
        await pods(client, namespace, 1)
    assert 'cannot delete resource "pods"' in events["ReconcileFailed"]["note"]


@pytest.mark.parametrize(
    ("verb", "resource", "line"),
    [
        ("list", "pods", "informer interrupted"),
        ("list", "trainingjobs", "cannot list TrainingJobs yet"),
    ],
)
async def test_what_no_job_can_tell_is_in_the_log_once_a_back_off(
    operator: Operator, client: Client, namespace: str, grant: Grant, verb: str, resource: str, line: str
) -> None:
    await grant(without(verb, resource))
    with ear(line) as lines:
        async with operator.running():
            await client.create(TRAINING_JOBS, namespace, job())
            assert f'cannot {verb} resource "{resource}"' in await lines.wait()
            await lines.wait(3)
            await grant(shipped())
            await pods(client, namespace, 2)


async def test_events_that_may_not_be_written_are_in_the_log_and_hold_nothing_up(
    operator: Operator, client: Client, namespace: str, grant: Grant
) -> None:
    await grant(without("create", "events"))
    with ear("events cannot be written") as lines:
        async with operator.running():
            await client.create(TRAINING_JOBS, namespace, job())
            found = await pods(client, namespace, 2)
            await run_all(client, namespace, found)
            await phase(client, namespace, "Running")
            assert 'cannot create resource "events"' in await lines.wait()
            await grant(shipped())
            await end_all(client, namespace, found)
            await announced(client, namespace, "Succeeded")
