"""From a job to its Plan. Pure: the same job, attempt, agent and cluster always give the same plan, in any process.

A strategy is one function in one file, TrainingJob -> Layout; this table is the only place that knows them all.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from trireme.contract import names
from trireme.plan import allreduce, gang, kueue, manifests, parameter_server, topology
from trireme.plan.manifests import Manifest
from trireme.plan.plan import GroupKind, Layout, Plan
from trireme.spec.model import RestartScope, Strategy, TrainingJob

STRATEGIES = {
    Strategy.ALL_REDUCE: allreduce.layout,
    Strategy.PARAMETER_SERVER: parameter_server.layout,
}

DECISIVE = {
    Strategy.ALL_REDUCE: {"all_reduce"},
    Strategy.PARAMETER_SERVER: {"server", "parameter_server"},
}
"""The fields of a strategy that decide its pods."""

DIGEST_LENGTH = 16
"""Hexadecimal digits: 64 bits, against accidents and not against attackers."""


def plan(job: TrainingJob, *, attempt: int, agent: str, group: GroupKind | None = None, suspensions: int = 0) -> Plan:
    """`agent` is the content hash of agent.pyz, hexadecimal; `group` what makes the pods a gang (gang.choose).

    `suspensions`: how often the job was suspended; what was made before the last time is of another plan. So are, in a
    queue, the pods of an earlier attempt: Kueue admits a group once, and as a whole.
    """
    layout = STRATEGIES[job.spec.strategy](job)
    digest = _digest(job, layout, group, _since(job, attempt, suspensions))
    templates = {
        role: _placed(template, job, len(layout.pods), group, digest)
        for role, template in manifests.templates(job, layout, agent).items()
    }
    return Plan(job, attempt, agent, layout.pods, layout.environment, templates, digest, group)


def _placed(template: Manifest, job: TrainingJob, pods: int, group: GroupKind | None, digest: str) -> Manifest:
    """With all that `spec.scheduling` says of where and when the pods run."""
    said = job.spec.scheduling
    name = names.pod_group_name(job.name, digest)
    if said.priority_class_name:
        template = {**template, "spec": {**template["spec"], "priorityClassName": said.priority_class_name}}
    if said.topology:
        template = topology.packed(template, said.topology, job.name)
    queue = kueue.queue_of(said)
    if queue:
        template = kueue.queued(template, queue, name, pods)
    return gang.linked(template, group, name) if group is not None else template


def _since(job: TrainingJob, attempt: int, suspensions: int) -> dict[str, int]:
    """What begins a new plan though nobody changed the job."""
    queued = kueue.queue_of(job.spec.scheduling) is not None
    return {name: n for name, n in (("suspensions", suspensions), ("attempt", attempt if queued else 0)) if n}


def _digest(job: TrainingJob, layout: Layout, group: GroupKind | None, since: dict[str, int]) -> str:
    """Of what the user said and the cluster offers: an upgrade of the operator replaces no pod that waits for GPUs."""
    said = job.spec.model_dump(mode="json", include={"strategy", "worker", *DECISIVE[job.spec.strategy]})
    slots = [pod.slots for pod in layout.pods]
    if job.spec.elastic:  # pods come and go, and those that stay are the same
        del said["worker"]["replicas"]
        said["elastic"] = job.spec.elastic.model_dump(mode="json")
        slots = sorted(set(slots))
    decisive = [job.uid, said, slots]
    if job.spec.checkpoint:
        decisive.append({"checkpoint": job.spec.checkpoint.model_dump(mode="json")})
    placement: dict[str, Any] = job.spec.scheduling.model_dump(mode="json", exclude={"gang"}, exclude_none=True)
    placement |= {"group": group.value} if group is not None else {}
    placement |= since
    if placement:
        decisive.append(placement)
    if told := _told(job):
        decisive.append(told)
    text = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def _told(job: TrainingJob) -> dict[str, Any]:
    """What else the agents are told, where it is not the default."""
    scope, hang = job.spec.restart.scope, job.spec.deadlines.hang_seconds
    return {
        **({"scope": scope.value} if scope is not RestartScope.FAILED else {}),
        **({"hang": hang} if hang is not None else {}),
    }
