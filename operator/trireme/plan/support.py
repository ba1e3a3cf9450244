"""What a job's pods lean on: their names, their token, the agent, and what keeps the job to itself (docs/adr/0008)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from trireme.contract import names
from trireme.plan.gang import pod_group
from trireme.plan.manifests import Manifest, owned
from trireme.plan.plan import Plan
from trireme.spec.model import NetworkPolicy, TrainingJob


@dataclass(frozen=True)
class Support:
    """An object that is made before the pods."""

    manifest: Manifest
    unique: bool = False
    """Its name holds a UID or a hash: what has it already is this object. Any other name may be somebody else's."""
    follows: bool = False
    """Its spec may change with the job's until the job has started: what is there is brought up to it."""
    shared: bool = False
    """All jobs of the namespace lean on it."""


def support(plan: Plan, token: str, agent: bytes) -> tuple[Support, ...]:
    """All of them. `token` as contract.wire.token makes it, `agent` the bytes of agent.pyz."""
    return tuple(_support(plan, token, agent))


def _support(plan: Plan, token: str, agent: bytes) -> Iterator[Support]:
    yield Support(service(plan.job))
    yield Support(token_secret(plan.job, token), unique=True)
    yield Support(agent_config_map(plan.job.namespace, agent, plan.agent), unique=True, shared=True)
    if plan.job.spec.network.policy is NetworkPolicy.JOB_ONLY:
        yield Support(network_policy(plan.job))
    for role, template in plan.templates.items():
        if template["metadata"]["annotations"][names.ANNOTATION_SAFE_TO_EVICT] != "true":
            yield Support(disruption_budget(plan, role), follows=True)
    if plan.gang is not None:
        yield Support(pod_group(plan, plan.gang), unique=True)


def service(job: TrainingJob) -> Manifest:
    """The headless Service behind the pods' hostnames, which resolve from a pod's first moment."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned(job, names.service_name(job.name)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": names.job_labels(job.name),
            "ports": [{"name": "coordinator", "port": names.COORDINATOR_PORT}],
        },
    }


def token_secret(job: TrainingJob, token: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": owned(job, names.token_secret_name(job.name, job.uid)),
        "type": "Opaque",
        "immutable": True,
        "stringData": {names.TOKEN_FILE: token},
    }


def agent_config_map(namespace: str, content: bytes, content_hash: str) -> Manifest:
    """agent.pyz for all jobs of a namespace; no job owns it, and a new agent gets a new name."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.agent_config_name(content_hash),
            "namespace": namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
        },
        "immutable": True,
        "binaryData": {names.AGENT_FILE: base64.b64encode(content).decode()},
    }


def network_policy(job: TrainingJob) -> Manifest:
    """Into the pods: their peers on any port, the operator on the coordinator's. Out of them: anything."""
    peers = {"matchLabels": names.job_labels(job.name)}
    operator = {"matchLabels": {names.LABEL_COMPONENT: names.OPERATOR}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": owned(job, names.network_policy_name(job.name)),
        "spec": {
            "podSelector": peers,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": peers}]},
                {
                    "from": [{"namespaceSelector": {}, "podSelector": operator}],
                    "ports": [{"port": names.COORDINATOR_PORT}],
                },
            ],
        },
    }


def disruption_budget(plan: Plan, role: str) -> Manifest:
    """No running pod of the role is evicted: the job would lose the work of all. An elastic job goes on without the
    workers above its minimum.

    How many workers there are otherwise, the job's scale says; it counts no other role.
    """
    job = plan.job
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": owned(job, names.disruption_budget_name(job.name, role)),
        "spec": {
            **_limit(plan, role),
            "selector": {"matchLabels": {**names.job_labels(job.name), names.LABEL_ROLE: role}},
        },
    }


def _limit(plan: Plan, role: str) -> dict[str, int]:
    if role != names.ROLE_WORKER:
        return {"minAvailable": len(plan.of(role))}
    elastic = plan.job.spec.elastic
    return {"minAvailable": elastic.min_replicas} if elastic else {"maxUnavailable": 0}
