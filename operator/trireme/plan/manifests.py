"""The plan as Kubernetes objects: plain dicts, keys in a fixed order, ready for JSON.

What all pods of a job share is built once (`template`) and referred to by every pod's manifest, never copied: treat
what you get from here as frozen.
"""

from __future__ import annotations

import base64
from typing import Any

from trireme.contract import environ, names
from trireme.contract.environ import PodEnvironment
from trireme.plan.plan import Layout, Plan, PodPlan
from trireme.spec.model import TrainingJob
from trireme.spec.template import trainer_position

Manifest = dict[str, Any]

DEFAULT_GRACE_SECONDS = 30
"""Kubernetes' default for terminationGracePeriodSeconds."""
READABLE = 0o444
"""Of mounted files: the container may run as any user."""

_DOWNWARD = {
    environ.POD_IP: "status.podIP",
    environ.POD_UID: "metadata.uid",
    environ.NODE_NAME: "spec.nodeName",
}
_OWN = (environ.ROLE, environ.INDEX, environ.SLOTS, environ.ATTEMPT)
"""Variables that differ between pods, or between attempts."""


def pod(plan: Plan, pod: PodPlan) -> Manifest:
    """The manifest of one pod; everything that is not the pod's own is shared with the other pods'."""
    metadata, spec = plan.template["metadata"], plan.template["spec"]
    containers = spec["containers"]
    position = trainer_position(containers)
    trainer = containers[position]
    # First in the list, so that the user's own variables may refer to them: $(TRIREME_INDEX).
    own = zip(_OWN, (pod.role, pod.index, pod.slots, plan.attempt), strict=True)
    trainer = {**trainer, "env": [*({"name": name, "value": str(value)} for name, value in own), *trainer["env"]]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name,
            **metadata,
            "labels": {**metadata["labels"], **names.pod_labels(plan.job.name, pod.role, pod.index, plan.attempt)},
            "annotations": {**metadata["annotations"], names.ANNOTATION_PLAN: plan.digest},
        },
        "spec": {
            **spec,
            "hostname": pod.name,
            "containers": [*containers[:position], trainer, *containers[position + 1 :]],
        },
    }


def template(job: TrainingJob, layout: Layout, agent: str) -> Manifest:
    """metadata and spec of every pod of the job, without what is a pod's or an attempt's own."""
    metadata = job.spec.worker.template.get("metadata") or {}
    spec = job.spec.worker.template["spec"]
    containers = list(spec["containers"])
    position = trainer_position(containers)
    containers[position] = _trainer(containers[position], _environment(job, layout))
    return {
        "metadata": {
            "namespace": job.namespace,
            "labels": metadata.get("labels") or {},
            "annotations": metadata.get("annotations") or {},
            "ownerReferences": [owner_reference(job)],
        },
        "spec": {
            **spec,
            "subdomain": names.service_name(job.name),
            "restartPolicy": "Never",
            "automountServiceAccountToken": spec.get("automountServiceAccountToken") or False,
            "enableServiceLinks": spec.get("enableServiceLinks") or False,
            "containers": containers,
            "volumes": [*(spec.get("volumes") or ()), *_volumes(job, agent)],
        },
    }


def _trainer(container: Manifest, environment: list[Manifest]) -> Manifest:
    agent = ["python3", f"{names.AGENT_MOUNT}/{names.AGENT_FILE}", "--"]
    mounts = [
        {"name": names.AGENT_VOLUME, "mountPath": names.AGENT_MOUNT, "readOnly": True},
        {"name": names.TOKEN_VOLUME, "mountPath": names.TOKEN_MOUNT, "readOnly": True},
    ]
    return {
        **container,
        "command": [*agent, *container["command"]],
        "env": [*environment, *(container.get("env") or ())],
        "volumeMounts": [*(container.get("volumeMounts") or ()), *mounts],
    }


def _environment(job: TrainingJob, layout: Layout) -> list[Manifest]:
    """The variables that are the same in every pod."""
    first = layout.pods[0]
    variables = PodEnvironment(
        job=job.name,
        namespace=job.namespace,
        role=first.role,
        index=first.index,
        slots=first.slots,
        replicas=len(layout.pods),
        attempt=0,
        backend=job.spec.all_reduce.backend.value,
        coordinator=f"{names.pod_hostname(job.name, first.role, first.index, job.namespace)}:{names.COORDINATOR_PORT}",
        token_file=f"{names.TOKEN_MOUNT}/{names.TOKEN_FILE}",
        join_seconds=environ.JOIN_SECONDS,
        grace_seconds=_grace_seconds(job.spec.worker.template["spec"]),
        pod_ip="",
        pod_uid="",
        node_name="",
    ).write()
    plain = [(name, value) for name, value in variables.items() if name not in _OWN and name not in _DOWNWARD]
    return [
        *({"name": name, "value": value} for name, value in (*plain, *layout.environment)),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}} for name, field in _DOWNWARD.items()),
    ]


def _grace_seconds(spec: Manifest) -> int:
    """The processes' part of the pod's grace period; of a short one they get at least half."""
    period = spec.get("terminationGracePeriodSeconds")
    seconds: int = DEFAULT_GRACE_SECONDS if period is None else period
    return max(seconds - environ.AGENT_SECONDS, (seconds + 1) // 2)


def _volumes(job: TrainingJob, agent: str) -> list[Manifest]:
    return [
        {
            "name": names.AGENT_VOLUME,
            "configMap": {
                "name": names.agent_config_name(agent),
                "defaultMode": READABLE,
                "items": [{"key": names.AGENT_FILE, "path": names.AGENT_FILE}],
            },
        },
        {
            "name": names.TOKEN_VOLUME,
            "secret": {
                "secretName": names.token_secret_name(job.name, job.uid),
                "defaultMode": READABLE,
                "items": [{"key": names.TOKEN_FILE, "path": names.TOKEN_FILE}],
            },
        },
    ]


def service(plan: Plan) -> Manifest:
    """The headless Service behind the pods' hostnames, which resolve from a pod's first moment."""
    job = plan.job
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned(job, names.service_name(job.name)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": names.job_labels(job.name),
            "ports": [{"name": "coordinator", "port": names.COORDINATOR_PORT}],
        },
    }


def token_secret(plan: Plan, token: str) -> Manifest:
    """`token` as contract.wire.token makes it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _owned(plan.job, names.token_secret_name(plan.job.name, plan.job.uid)),
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


def owner_reference(job: TrainingJob) -> Manifest:
    """Deleting the job deletes what carries this, with or without an operator."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _owned(job: TrainingJob, name: str) -> Manifest:
    return {
        "name": name,
        "namespace": job.namespace,
        "labels": names.job_labels(job.name),
        "ownerReferences": [owner_reference(job)],
    }
