"""The slim record of a pod: all that decisions need of it, and nothing else. Informers make it, decisions read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from trireme.contract import wire


class PodPhase(str, Enum):
    """core/v1 PodPhase."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Terminated:
    """How the trainer container ended, or an init container that kept it from beginning (core/v1
    ContainerStateTerminated)."""

    exit_code: int
    reason: str = ""
    """`OOMKilled`, `Error`, `Completed`, `ContainerCannotRun`, ..."""
    signal: int = 0
    message: str = ""
    """The termination message: contract.wire.Termination as JSON when the agent could write it."""
    finished_at: float = 0.0
    """Unix time, seconds."""
    init: str = ""
    """Name of the init container."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a job, from its metadata, spec.nodeName and status."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    job: str
    """Value of the job label."""
    owner_uid: str
    """UID of the controlling owner; an empty string when there is none."""
    role: str
    index: int
    attempt: int
    plan: str
    """Digest of the plan that made the pod."""
    agent: str
    """Beginning of its agent's hash; empty: of an operator that did not say."""
    phase: PodPhase
    created_at: float
    """Unix time, seconds."""
    node: str = ""
    ip: str = ""
    deleting: bool = False
    gone_by: float = 0.0
    """When a pod that is being deleted must have ended (metadata.deletionTimestamp), Unix time; 0: nobody said."""
    placed_at: float = 0.0
    """When a scheduler found its node, Unix time."""
    running: bool = False
    """The trainer container is in state running."""
    sidecar: bool = False
    """Another container is: the pod does not end with its trainer."""
    unschedulable: str = ""
    """Message of condition PodScheduled=False with reason Unschedulable."""
    gated: bool = False
    """No scheduler looks at it before somebody removes its scheduling gates: Kueue, or another admission."""
    waiting_reason: str = ""
    """Of the first container (init containers first) that waits: `ImagePullBackOff`, `ContainerCreating`, ..."""
    waiting_message: str = ""
    terminated: Terminated | None = None
    reason: str = ""
    """Pod-level: `Evicted`, `NodeLost`, `Preempting`, `UnexpectedAdmissionError`, ..."""
    message: str = ""
    disruption: str = ""
    """Reason of a true DisruptionTarget condition: `EvictionByEvictionAPI`, `PreemptionByScheduler`, ..."""


def lives(pod: Pod) -> bool:
    """Whether a container of it runs, or may yet begin."""
    ended = pod.terminated is not None or pod.phase in (PodPhase.SUCCEEDED, PodPhase.FAILED)
    return pod.sidecar or not ended


def ended_in(pod: Pod) -> int:
    """The attempt in which a pod failed: the one that made it, or a later one for which its processes were started
    again in it (docs/adr/0019)."""
    said = wire.read_termination(pod.terminated.message) if pod.terminated is not None else None
    return max(pod.attempt, said.attempt or 0) if said is not None else pod.attempt
