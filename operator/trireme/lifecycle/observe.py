"""Sorts a job's pods into named buckets, once. Every later decision reads the buckets and never a pod's raw state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from trireme.contract import exits, names
from trireme.contract.wire import JobReport
from trireme.lifecycle.pod import Pod, PodPhase
from trireme.lifecycle.silence import mark
from trireme.plan.plan import Plan, PodPlan, Unavailable
from trireme.spec.status import JobStatus

STARTING_REASONS = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Waiting reasons of a pod with which nothing is wrong."""


class NodeState(Enum):
    READY = "Ready"
    NOT_READY = "NotReady"
    """No kubelet speaks for its pods at present."""
    GONE = "Gone"
    """There is no such node any more."""


REFUSED = "Refused"
NAME_TAKEN = "NameTaken"


@dataclass(frozen=True)
class Refusal:
    """Why a pod, or what pods lean on, could not be made."""

    words: str
    """The API server's, when it refused."""
    reason: str = REFUSED
    """Of condition Running=False."""

    @property
    def sentence(self) -> str:
        return f"the API server refuses: {self.words}" if self.reason == REFUSED else self.words


@dataclass(frozen=True)
class Observed:
    """Each pod under one of the plan's names is in exactly one bucket; buckets are in the order of the plan."""

    absent: tuple[PodPlan, ...] = ()
    foreign: tuple[Pod, ...] = ()
    """Pods that hold one of our names but belong to another owner: an earlier job of this name, or a stranger."""
    deleting: tuple[Pod, ...] = ()
    gated: tuple[Pod, ...] = ()
    """Held back by a scheduling gate: a queue has not admitted them yet."""
    unschedulable: tuple[Pod, ...] = ()
    blocked: tuple[Pod, ...] = ()
    """Placed, but a container waits for a reason that does not go away by itself (image, configuration)."""
    starting: tuple[Pod, ...] = ()
    running: tuple[Pod, ...] = ()
    succeeded: tuple[Pod, ...] = ()
    failed: tuple[Pod, ...] = ()
    stale: tuple[Pod, ...] = ()
    """Across the buckets: our pods that another plan made, and those that the plan does not have."""
    surplus: tuple[Pod, ...] = ()
    """Workers of an elastic job beyond what is wanted, highest index first."""
    report: JobReport | None = None
    """The coordinator's last word."""
    silent: bool = False
    """It does not answer the operator."""
    refused: Refusal | None = None
    unavailable: Unavailable | None = None
    """The gang or queue that the job asks for and cannot have."""
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    """Of pods that should have gone long ago, as far as the operator may know them."""

    @property
    def ours(self) -> tuple[Pod, ...]:
        """Every pod of the job, each once."""
        return tuple({pod.uid: pod for pod in (*self.active, *self.ended, *self.stale, *self.surplus)}.values())

    @property
    def ended(self) -> tuple[Pod, ...]:
        return self.succeeded + self.failed

    @property
    def active(self) -> tuple[Pod, ...]:
        """Pods that exist and have not finished."""
        return self.deleting + self.gated + self.unschedulable + self.blocked + self.starting + self.running

    @property
    def unplaced(self) -> int:
        """Pods of the plan that have no node yet."""
        nowhere = self.absent, self.foreign, self.gated, self.unschedulable
        return sum(map(len, nowhere)) + sum(not pod.node for pod in self.starting)


def observe(
    plan: Plan,
    pods: Iterable[Pod],
    *,
    report: JobReport | None = None,
    status: JobStatus | None = None,
    silent: bool = False,
    refused: Refusal | None = None,
    unavailable: Unavailable | None = None,
    nodes: Mapping[str, NodeState] | None = None,
) -> Observed:
    """`pods` are all that carry the job's label, in any order; `status` is what was said before."""
    by_name = {pod.name: pod for pod in mark(pods, report, status, plan.job.spec.restart.node_lost_seconds)}
    buckets: dict[str, list[Pod]] = {}
    absent = []
    stale = []
    for planned in plan.pods:
        pod = by_name.pop(planned.name, None)
        if pod is None:
            absent.append(planned)
            continue
        bucket = _bucket(pod, plan.job.uid)
        buckets.setdefault(bucket, []).append(pod)
        if bucket != "foreign" and pod.plan != plan.digest:
            stale.append(pod)
    rest = [pod for pod in by_name.values() if pod.owner_uid == plan.job.uid]
    surplus = [pod for pod in rest if plan.job.spec.elastic and pod.role == names.ROLE_WORKER]
    stale += sorted((pod for pod in rest if pod not in surplus), key=lambda pod: pod.name)
    return Observed(
        absent=tuple(absent),
        stale=tuple(stale),
        surplus=tuple(sorted(surplus, key=lambda pod: -pod.index)),
        report=report,
        silent=silent,
        refused=refused,
        unavailable=unavailable,
        nodes=nodes or {},
        **{name: tuple(found) for name, found in buckets.items()},
    )


def other_agent(plan: Plan, pod: Pod) -> bool:
    """Whether the pod has another agent than the pods that are made now: the operator has been upgraded since. The two
    would not understand each other."""
    return not plan.agent.startswith(pod.agent or "-")


def _bucket(pod: Pod, owner_uid: str) -> str:
    if pod.owner_uid != owner_uid:
        return "foreign"
    if pod.terminated is not None and not pod.reason:  # the trainer decides, though a sidecar may still run
        return "failed" if pod.terminated.exit_code else "succeeded"
    if pod.phase is PodPhase.SUCCEEDED:
        return "succeeded"
    if pod.phase is PodPhase.FAILED or pod.reason == exits.POD_SILENT:
        return "failed"
    if pod.deleting:
        return "deleting"
    if pod.gated:
        return "gated"
    if pod.unschedulable:
        return "unschedulable"
    if pod.running:
        return "running"
    if pod.waiting_reason not in STARTING_REASONS:
        return "blocked"
    return "starting"
