"""From a pod's JSON to the slim record that decisions read. Only the fields named here are decoded."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from trireme.contract import names
from trireme.lifecycle.observe import STARTING_REASONS
from trireme.lifecycle.pod import Pod, PodPhase, Terminated


class _View(msgspec.Struct, rename="camel", gc=False):
    pass


class _Owner(_View):
    uid: str
    controller: bool | None = None


class _Metadata(_View):
    name: str
    namespace: str
    uid: str
    resource_version: str
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None


class _Container(_View):
    name: str


class _Spec(_View):
    containers: list[_Container]
    node_name: str | None = None


class _Waiting(_View):
    reason: str | None = None
    message: str | None = None


class _Ended(_View):
    exit_code: int
    signal: int | None = None
    reason: str | None = None
    message: str | None = None
    finished_at: datetime | None = None


class _State(_View):
    waiting: _Waiting | None = None
    running: dict[str, Any] | None = None
    terminated: _Ended | None = None


class _ContainerStatus(_View):
    name: str
    state: _State | None = None


class _Condition(_View):
    type: str
    status: str
    reason: str | None = None
    message: str | None = None
    last_transition_time: datetime | None = None


class _Status(_View):
    phase: str | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    reason: str | None = None
    message: str | None = None
    conditions: list[_Condition] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None
    container_statuses: list[_ContainerStatus] | None = None


class _Pod(_View):
    metadata: _Metadata
    spec: _Spec
    status: _Status | None = None


_decoder = msgspec.json.Decoder(_Pod)


def decode(data: bytes | msgspec.Raw) -> Pod:
    """Raises msgspec.DecodeError for what is no pod of an API server."""
    return _pod(_decoder.decode(data))


def of_object(obj: dict[str, Any]) -> Pod:
    """The same from a decoded object."""
    return _pod(msgspec.convert(obj, _Pod))


def job_key(pod: Pod) -> tuple[str, str]:
    return pod.namespace, pod.job


def _pod(view: _Pod) -> Pod:
    metadata, status = view.metadata, view.status or _Status()
    labels = metadata.labels or {}
    trainer = _trainer(view.spec, status)
    waiting = _waiting(status)
    conditions = {condition.type: condition for condition in status.conditions or ()}
    ended = trainer.terminated if trainer else None
    return Pod(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        job=labels.get(names.LABEL_JOB, ""),
        owner_uid=next((owner.uid for owner in metadata.owner_references or () if owner.controller), ""),
        role=labels.get(names.LABEL_ROLE, ""),
        index=_number(labels.get(names.LABEL_INDEX)),
        attempt=_number(labels.get(names.LABEL_ATTEMPT)),
        plan=(metadata.annotations or {}).get(names.ANNOTATION_PLAN, ""),
        agent=(metadata.annotations or {}).get(names.ANNOTATION_AGENT, ""),
        phase=_PHASES.get(status.phase or "Pending", PodPhase.UNKNOWN),
        created_at=_seconds(metadata.creation_timestamp),
        node=view.spec.node_name or "",
        ip=status.pod_ip or "",
        deleting=metadata.deletion_timestamp is not None,
        gone_by=_seconds(metadata.deletion_timestamp),
        placed_at=_placed_at(conditions.get("PodScheduled")),
        running=trainer is not None and trainer.running is not None,
        sidecar=_sidecar(status, trainer),
        unschedulable=_unschedulable(conditions.get("PodScheduled")),
        gated=_not_scheduled(conditions.get("PodScheduled"), "SchedulingGated"),
        waiting_reason=waiting.reason or "",
        waiting_message=waiting.message or "",
        terminated=_terminated(ended) if ended else _failed_init(status),
        reason=status.reason or "",
        message=status.message or "",
        disruption=_disruption(conditions.get("DisruptionTarget")),
    )


_PHASES = {phase.value: phase for phase in PodPhase}


def _trainer(spec: _Spec, status: _Status) -> _State | None:
    """State of the trainer; statuses are sorted by name, so the spec says which container is the first."""
    found = [container.name for container in spec.containers]
    name = names.TRAINER_CONTAINER if names.TRAINER_CONTAINER in found else found[0]
    return next((s.state for s in status.container_statuses or () if s.name == name), None)


def _sidecar(status: _Status, trainer: _State | None) -> bool:
    """A restartable init container does not count: the kubelet ends it after the others."""
    states = (each.state for each in status.container_statuses or ())
    return any(state is not None and state is not trainer and state.running is not None for state in states)


def _waiting(status: _Status) -> _Waiting:
    """Of the first container that waits for something unusual, else of the first that waits at all."""
    both = (status.init_container_statuses or (), status.container_statuses or ())
    waiting = [s.state.waiting for statuses in both for s in statuses if s.state and s.state.waiting]
    unusual = (each for each in waiting if (each.reason or "") not in STARTING_REASONS)
    return next(unusual, waiting[0] if waiting else _Waiting())


def _failed_init(status: _Status) -> Terminated | None:
    """How the init container ended for which a pod failed before its trainer began."""
    for each in status.init_container_statuses or () if status.phase == "Failed" else ():
        if each.state is not None and each.state.terminated is not None and each.state.terminated.exit_code:
            return _terminated(each.state.terminated, each.name)
    return None


def _terminated(ended: _Ended, init: str = "") -> Terminated:
    return Terminated(
        exit_code=ended.exit_code,
        reason=ended.reason or "",
        signal=ended.signal or 0,
        message=ended.message or "",
        finished_at=_seconds(ended.finished_at),
        init=init,
    )


def _unschedulable(scheduled: _Condition | None) -> str:
    if scheduled is None or not _not_scheduled(scheduled, "Unschedulable"):
        return ""
    return scheduled.message or "Unschedulable"


def _placed_at(scheduled: _Condition | None) -> float:
    return _seconds(scheduled.last_transition_time) if scheduled is not None and scheduled.status == "True" else 0.0


def _not_scheduled(scheduled: _Condition | None, reason: str) -> bool:
    return scheduled is not None and scheduled.status == "False" and scheduled.reason == reason


def _disruption(target: _Condition | None) -> str:
    return (target.reason or "Unknown") if target is not None and target.status == "True" else ""


def _seconds(time: datetime | None) -> float:
    return time.timestamp() if time is not None else 0.0


def _number(text: str | None) -> int:
    """-1 for a stranger's label that holds no number."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else -1
