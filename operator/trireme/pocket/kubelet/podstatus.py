"""What a pod's status says, computed from the states of its containers. Pure; the shapes are core/v1 PodStatus.

The rules for phase and conditions are the kubelet's (kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trireme.pocket.kubelet.environment import Object

START_ERROR = "StartError"
CREATING = "ContainerCreating"
INITIALIZING = "PodInitializing"
CRASH_LOOP = "CrashLoopBackOff"
START_ERROR_CODE = 128
"""Exit code of a container whose command could not be executed, as containerd gives it."""
SIGKILL_CODE = 137


@dataclass(frozen=True)
class Waiting:
    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    started_at: str


@dataclass(frozen=True)
class Terminated:
    exit_code: int
    reason: str
    started_at: str
    finished_at: str
    message: str = ""
    container_id: str = ""


State = Waiting | Running | Terminated


@dataclass(frozen=True)
class ContainerRecord:
    """What the kubelet knows of one container. Times are RFC 3339 in UTC."""

    name: str
    image: str
    state: State
    last: Terminated | None = None
    restarts: int = 0
    container_id: str = ""

    @property
    def ended(self) -> Terminated | None:
        """How it ended, also while it waits for its next start."""
        return self.state if isinstance(self.state, Terminated) else self.last if self._backing_off else None

    @property
    def _backing_off(self) -> bool:
        return isinstance(self.state, Waiting) and self.last is not None


@dataclass(frozen=True)
class PodRecord:
    """What the kubelet knows of one pod."""

    init: tuple[ContainerRecord, ...]
    main: tuple[ContainerRecord, ...]
    sidecars: frozenset[str] = frozenset()
    """Names of the init containers that go on running beside the main ones (restartPolicy Always)."""
    started_at: str = ""
    pod_ip: str = ""
    host_ip: str = ""
    failed: Waiting | None = None
    """The kubelet's own verdict, such as `DeadlineExceeded`; it overrules the containers once the pod is over."""
    over: bool = False
    """Nothing of the pod is left on the node. Only then it says that it has ended, and why; its containers do earlier
    (kubelet: mergePodStatus keeps the old phase, reason and message while containers could still run)."""


def initialized(record: PodRecord) -> bool:
    begun = any(isinstance(c.state, Running | Terminated) or c.last is not None for c in record.main)
    return begun or all(_serves(c, record.sidecars) for c in record.init)


def _serves(init: ContainerRecord, sidecars: frozenset[str]) -> bool:
    """The init container has done its part: it is over, or, as a sidecar, it runs."""
    return isinstance(init.state, Running) if init.name in sidecars else _succeeded(init.state)


def phase(record: PodRecord, restart_policy: str) -> str:
    """PodPhase."""
    of_containers = _phase(record, restart_policy)
    if record.over or of_containers not in ("Succeeded", "Failed"):
        return of_containers
    return "Running" if initialized(record) else "Pending"


def _phase(record: PodRecord, restart_policy: str) -> str:
    """As the containers have it (kubelet: getPhase)."""
    if record.failed and not any(isinstance(c.state, Running) for c in (*record.init, *record.main)):
        return "Failed"
    broken_init = any(
        isinstance(c.state, Terminated) and c.state.exit_code for c in record.init if c.name not in record.sidecars
    )
    if broken_init and restart_policy == "Never":
        return "Failed"
    states = [c.state for c in record.main]
    ends = [c.ended for c in record.main]
    if any(isinstance(s, Waiting) and end is None for s, end in zip(states, ends, strict=True)):
        return "Pending"
    if any(isinstance(s, Running) for s in states):
        return "Running"
    if restart_policy == "Always":
        return "Running"
    if all(end is not None and end.exit_code == 0 for end in ends):
        return "Succeeded"
    return "Failed" if restart_policy == "Never" else "Running"


def status(record: PodRecord, restart_policy: str, now: str, before: Object) -> Object:
    """The part of status that is the kubelet's; `before` is the status it replaces, for the times of conditions."""
    result_phase = phase(record, restart_policy)
    over = result_phase in ("Succeeded", "Failed")
    verdict = record.failed if over else None
    ready = not over and all(isinstance(c.state, Running) for c in record.main)
    unready = [c.name for c in record.main if not isinstance(c.state, Running)]
    why: dict[str, Any] = {}
    if not ready:
        why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
    if over:
        why = {"reason": "PodCompleted" if result_phase == "Succeeded" else "PodFailed", "message": ""}
    done = initialized(record)
    missing = [c.name for c in record.init if not _serves(c, record.sidecars)]
    completed = {"reason": "PodCompleted"} if result_phase == "Succeeded" else {}
    not_done = {"reason": "ContainersNotInitialized", "message": f"containers with incomplete status: {missing}"}
    conditions = [
        _condition("Initialized", done, completed if done else not_done, now, before),
        _condition("Ready", ready, why, now, before),
        _condition("ContainersReady", ready, why, now, before),
    ]
    return {
        "phase": result_phase,
        "conditions": conditions,
        "hostIP": record.host_ip or None,
        "hostIPs": [{"ip": record.host_ip}] if record.host_ip else None,
        "podIP": record.pod_ip or None,
        "podIPs": [{"ip": record.pod_ip}] if record.pod_ip else None,
        "startTime": record.started_at or None,
        "reason": verdict.reason if verdict else None,
        "message": verdict.message if verdict else None,
        "initContainerStatuses": [_container(c, ready=_serves(c, record.sidecars)) for c in record.init] or None,
        "containerStatuses": [_container(c, ready=isinstance(c.state, Running)) for c in record.main],
    }


def _succeeded(state: State) -> bool:
    return isinstance(state, Terminated) and state.exit_code == 0


def _condition(kind: str, true: bool, why: Object, now: str, before: Object) -> Object:
    value = "True" if true else "False"
    since = now
    for condition in before.get("conditions") or []:
        if condition["type"] == kind and condition["status"] == value:
            since = condition.get("lastTransitionTime") or now
    text = {"reason": why.get("reason") or None, "message": why.get("message") or None}
    return {"type": kind, "status": value, "lastProbeTime": None, "lastTransitionTime": since, **text}


def _container(record: ContainerRecord, *, ready: bool) -> Object:
    return {
        "name": record.name,
        "image": record.image,
        "imageID": "",
        "state": _state(record.state),
        "lastState": _state(record.last) if record.last else {},
        "ready": ready,
        "started": isinstance(record.state, Running),
        "restartCount": record.restarts,
        "containerID": record.container_id,
    }


def _state(state: State) -> Object:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        case Running(started_at):
            return {"running": {"startedAt": started_at}}
    ended = {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "startedAt": state.started_at,
        "finishedAt": state.finished_at,
    }
    if state.container_id:
        ended["containerID"] = state.container_id
    if state.message:
        ended["message"] = state.message
    return {"terminated": ended}
