"""The plan's pods as Kubernetes objects: plain dicts, keys in a fixed order, ready for JSON.

What all pods of a job share is built once (`template`) and referred to by every pod's manifest, never copied: treat
what you get from here as frozen.
"""

from __future__ import annotations

from typing import Any

from trireme.contract import environ, names
from trireme.contract.environ import PodEnvironment
from trireme.plan.confinement import confined
from trireme.plan.nodeloss import bounded
from trireme.plan.plan import Layout, Plan, PodPlan
from trireme.spec.model import Strategy, Template, TrainingJob
from trireme.spec.template import server_template, trainer_position

Manifest = dict[str, Any]

DEFAULT_GRACE_SECONDS = 30
"""Kubernetes' default for terminationGracePeriodSeconds."""
AGENT_DIGITS = 16
"""Hexadecimal, of the agent's hash in a pod's annotation."""
READABLE = 0o444
"""Of mounted files: the container may run as any user."""

_DOWNWARD = {
    environ.POD_IP: "status.podIP",
    environ.POD_UID: "metadata.uid",
    environ.NODE_NAME: "spec.nodeName",
}
_OWN = (environ.ROLE, environ.INDEX, environ.SLOTS, environ.SHARDS, environ.ATTEMPT)
"""Variables that differ between pods, or between attempts."""
_COORDINATOR = {"containerPort": names.COORDINATOR_PORT, "hostPort": names.COORDINATOR_PORT}
_SHARED_MEMORY = {"name": names.SHARED_MEMORY_VOLUME, "emptyDir": {"medium": "Memory"}}
"""Without a size of its own: Kubernetes gives it the pod's memory limit, and what it holds counts against that."""


def pod(plan: Plan, pod: PodPlan) -> Manifest:
    """The manifest of one pod; everything that is not the pod's own is shared with the other pods'."""
    metadata, spec = plan.templates[pod.role]["metadata"], plan.templates[pod.role]["spec"]
    containers = spec["containers"]
    position = trainer_position(containers)
    trainer = containers[position]
    # First in the list, so that the user's own variables may refer to them: $(TRIREME_INDEX).
    own = zip(_OWN, (pod.role, pod.index, pod.slots, pod.shards, plan.attempt), strict=True)
    trainer = {**trainer, "env": [*({"name": name, "value": str(value)} for name, value in own), *trainer["env"]]}
    if spec.get("hostNetwork") and (pod.role, pod.index) == (names.ROLE_WORKER, 0):
        trainer["ports"] = _with_coordinator(trainer.get("ports") or [])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name,
            **metadata,
            "labels": {**metadata["labels"], **names.pod_labels(plan.job.name, pod.role, pod.index, plan.attempt)},
            "annotations": {
                **metadata["annotations"],
                names.ANNOTATION_PLAN: plan.digest,
                names.ANNOTATION_AGENT: plan.agent[:AGENT_DIGITS],
            },
        },
        "spec": {
            **spec,
            "hostname": pod.name,
            "containers": [*containers[:position], trainer, *containers[position + 1 :]],
        },
    }


def _with_coordinator(ports: list[Manifest]) -> list[Manifest]:
    """On the node's network: the scheduler keeps apart pods that want the same port of a node."""
    said = any(port["containerPort"] == names.COORDINATOR_PORT for port in ports)
    return ports if said else [*ports, _COORDINATOR]


def templates(job: TrainingJob, layout: Layout, agent: str) -> dict[str, Manifest]:
    """By role, metadata and spec of every pod, without what is a pod's or an attempt's own."""
    worker = job.spec.worker.template
    said = {
        names.ROLE_WORKER: worker,
        names.ROLE_SERVER: job.spec.server.template or server_template(worker),
    }
    return {role: _template(job, layout, agent, said[role]) for role in dict.fromkeys(pod.role for pod in layout.pods)}


def _template(job: TrainingJob, layout: Layout, agent: str, said: Template) -> Manifest:
    metadata = said.get("metadata") or {}
    spec = said["spec"]
    init = spec.get("initContainers")
    containers = [confined(container, spec) for container in spec["containers"]]
    position = trainer_position(containers)
    memory = _shares_memory(containers[position], spec)
    containers[position] = _trainer(containers[position], _environment(job, layout, spec), memory)
    return {
        "metadata": {
            "namespace": job.namespace,
            "labels": metadata.get("labels") or {},
            "annotations": {names.ANNOTATION_SAFE_TO_EVICT: "false", **(metadata.get("annotations") or {})},
            "ownerReferences": [owner_reference(job)],
        },
        "spec": {
            **spec,
            "subdomain": names.service_name(job.name),
            "restartPolicy": "Never",
            **_grace_period(job, spec),
            **_names_of_pods(spec),
            "automountServiceAccountToken": spec.get("automountServiceAccountToken") or False,
            "enableServiceLinks": spec.get("enableServiceLinks") or False,
            **({"initContainers": [confined(c, spec) for c in init]} if init else {}),
            "containers": containers,
            "tolerations": bounded(spec, job.spec.restart.node_lost_seconds),
            "volumes": [*(spec.get("volumes") or ()), *_volumes(job, agent), *([_SHARED_MEMORY] if memory else ())],
        },
    }


def _grace_period(job: TrainingJob, spec: Manifest) -> Manifest:
    """For the pod, where there must be time to save and the template does not say."""
    if job.spec.checkpoint is None or spec.get("terminationGracePeriodSeconds") is not None:
        return {}
    return {"terminationGracePeriodSeconds": job.spec.checkpoint.grace_seconds + environ.AGENT_SECONDS}


def _names_of_pods(spec: Manifest) -> Manifest:
    """By default a pod on its node's network knows the names that the node knows, and not those of the cluster."""
    on_node = spec.get("hostNetwork") and not spec.get("dnsPolicy")
    return {"dnsPolicy": "ClusterFirstWithHostNet"} if on_node else {}


def _shares_memory(trainer: Manifest, spec: Manifest) -> bool:
    """Whether /dev/shm is ours to give: the runtime's 64 MiB are too few for data loaders and NCCL."""
    mounted = (mount["mountPath"].rstrip("/") for mount in trainer.get("volumeMounts") or ())
    return not spec.get("hostIPC") and names.SHARED_MEMORY_MOUNT not in mounted


def _trainer(container: Manifest, environment: list[Manifest], memory: bool) -> Manifest:
    agent = ["python3", f"{names.AGENT_MOUNT}/{names.AGENT_FILE}", "--"]
    mounts = [
        {"name": names.AGENT_VOLUME, "mountPath": names.AGENT_MOUNT, "readOnly": True},
        {"name": names.TOKEN_VOLUME, "mountPath": names.TOKEN_MOUNT, "readOnly": True},
    ]
    if memory:
        mounts.append({"name": names.SHARED_MEMORY_VOLUME, "mountPath": names.SHARED_MEMORY_MOUNT})
    return {
        **container,
        "command": [*agent, *(container.get("command") or names.SERVER_COMMAND)],
        "env": [*environment, *(container.get("env") or ())],
        "volumeMounts": [*(container.get("volumeMounts") or ()), *mounts],
    }


def _environment(job: TrainingJob, layout: Layout, spec: Manifest) -> list[Manifest]:
    """The variables that are the same in every pod of a role."""
    first = layout.pods[0]
    downward = {**_DOWNWARD, environ.DOMAIN: f"metadata.labels['{domain_label(job)}']"}
    variables = PodEnvironment(
        job=job.name,
        namespace=job.namespace,
        role=first.role,
        index=first.index,
        slots=first.slots,
        shards=first.shards,
        replicas=sum(pod.role == names.ROLE_WORKER for pod in layout.pods),
        servers=sum(pod.role == names.ROLE_SERVER for pod in layout.pods),
        attempt=0,
        backend=job.spec.all_reduce.backend.value,
        coordinator=f"{names.pod_hostname(job.name, first.role, first.index, job.namespace)}:{names.COORDINATOR_PORT}",
        token_file=f"{names.TOKEN_MOUNT}/{names.TOKEN_FILE}",
        join_seconds=environ.JOIN_SECONDS,
        grace_seconds=_grace_seconds(job, spec),
        restart_scope=job.spec.restart.scope.value,
        independent=int(job.spec.strategy is Strategy.PARAMETER_SERVER),
        pod_ip="",
        pod_uid="",
        node_name="",
        hang_seconds=job.spec.deadlines.hang_seconds or 0,
        min_replicas=job.spec.elastic.min_replicas if job.spec.elastic else 0,
        max_replicas=job.spec.elastic.max_replicas if job.spec.elastic else 0,
        checkpoint_directory=job.spec.checkpoint.directory if job.spec.checkpoint else "",
    ).write()
    plain = [(name, value) for name, value in variables.items() if name not in _OWN and name not in downward]
    return [
        *({"name": name, "value": value} for name, value in (*plain, *layout.environment)),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}} for name, field in downward.items()),
    ]


def domain_label(job: TrainingJob) -> str:
    """The label of a pod that says its topology domain, where somebody copies it from the node."""
    topology = job.spec.scheduling.topology
    return topology.key if topology else names.LABEL_ZONE


def _grace_seconds(job: TrainingJob, spec: Manifest) -> int:
    """The processes' part of the pod's grace period; of a short one they get at least half."""
    period = {**spec, **_grace_period(job, spec)}.get("terminationGracePeriodSeconds")
    seconds: int = DEFAULT_GRACE_SECONDS if period is None else period
    left = max(seconds - environ.AGENT_SECONDS, (seconds + 1) // 2)
    return min(left, job.spec.checkpoint.grace_seconds) if job.spec.checkpoint else left


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


def owned(job: TrainingJob, name: str) -> Manifest:
    """Metadata of an object that belongs to the job."""
    return {
        "name": name,
        "namespace": job.namespace,
        "labels": names.job_labels(job.name),
        "ownerReferences": [owner_reference(job)],
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
