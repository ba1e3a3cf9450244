"""support: whole objects, which of them a job gets, and whose names somebody else may hold."""

from __future__ import annotations

from typing import Any

import pytest
from support.jobs import UID, VALID, job, parameter_server
from trireme.plan.plan import Plan
from trireme.plan.planner import plan
from trireme.plan.support import Support, support
from trireme.spec.parse import parse

AGENT = "0123456789abcdef"
LABELS = {"app.kubernetes.io/managed-by": "trireme", "trireme.dev/job": "digits"}
OWNER = {
    "apiVersion": "trireme.dev/v1alpha1",
    "kind": "TrainingJob",
    "name": "digits",
    "uid": UID,
    "controller": True,
    "blockOwnerDeletion": True,
}


def planned(obj: Any = VALID) -> Plan:
    return plan(
        parse({**obj, "metadata": {**obj["metadata"], "uid": UID, "namespace": "team"}}), attempt=0, agent=AGENT
    )


def metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": "team", "labels": LABELS, "ownerReferences": [OWNER]}


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": metadata("tj-digits"),
    "spec": {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": LABELS,
        "ports": [{"name": "coordinator", "port": 7070}],
    },
}
TOKEN = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": metadata("digits-token-11111111"),
    "type": "Opaque",
    "immutable": True,
    "stringData": {"token": "abc"},
}
AGENT_OF_THE_NAMESPACE = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "trireme-agent-0123456789ab",
        "namespace": "team",
        "labels": {"app.kubernetes.io/managed-by": "trireme"},
    },
    "immutable": True,
    "binaryData": {"agent.pyz": "AHppcA=="},
}
NETWORK_POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": metadata("tj-digits"),
    "spec": {
        "podSelector": {"matchLabels": LABELS},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": [{"podSelector": {"matchLabels": LABELS}}]},
            {
                "from": [
                    {"namespaceSelector": {}, "podSelector": {"matchLabels": {"trireme.dev/component": "operator"}}}
                ],
                "ports": [{"port": 7070}],
            },
        ],
    },
}
DISRUPTION_BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": metadata("tj-digits-worker"),
    "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {**LABELS, "trireme.dev/role": "worker"}}},
}
ALL = (
    Support(SERVICE),
    Support(TOKEN, unique=True),
    Support(AGENT_OF_THE_NAMESPACE, unique=True, shared=True),
    Support(NETWORK_POLICY),
    Support(DISRUPTION_BUDGET, follows=True),
)


def safe_to_evict(value: str) -> Any:
    annotations = {"cluster-autoscaler.kubernetes.io/safe-to-evict": value}
    return job("spec", "worker", "template", "metadata", value={"annotations": annotations})


CHOICES = {
    "by default": (VALID, ALL),
    "JobOnly": (job("spec", "network", value={"policy": "JobOnly"}), ALL),
    "no network policy": (job("spec", "network", value={"policy": "None"}), (*ALL[:3], ALL[4])),
    "safe to evict": (safe_to_evict("true"), ALL[:4]),
    "not safe to evict": (safe_to_evict("false"), ALL),
}


@pytest.mark.parametrize(("obj", "expected"), CHOICES.values(), ids=CHOICES.keys())
def test_what_a_job_leans_on(obj: Any, expected: tuple[Support, ...]) -> None:
    assert support(planned(obj), "abc", b"\x00zip") == expected


def test_servers_have_a_budget_that_counts_them() -> None:
    made = [each.manifest for each in support(planned(parameter_server(server={"replicas": 2})), "abc", b"zip")]
    budgets = {each["metadata"]["name"]: each["spec"] for each in made if each["kind"] == "PodDisruptionBudget"}
    assert budgets == {
        f"tj-digits-{role}": {**limit, "selector": {"matchLabels": {**LABELS, "trireme.dev/role": role}}}
        for role, limit in (("worker", {"maxUnavailable": 0}), ("server", {"minAvailable": 2}))
    }


def test_an_elastic_job_may_lose_workers_down_to_its_minimum() -> None:
    elastic = job("spec", "elastic", value={"minReplicas": 2, "maxReplicas": 8})
    elastic["spec"]["worker"]["replicas"] = 4
    budget = support(planned(elastic), "abc", b"zip")[-1].manifest
    assert budget == {
        **DISRUPTION_BUDGET,
        "spec": {"minAvailable": 2, "selector": DISRUPTION_BUDGET["spec"]["selector"]},
    }
