"""The one truthful line: why a job is where it is. The worst problem speaks; counts come first, then the reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from trireme.contract import names, wire
from trireme.lifecycle.observe import NAME_TAKEN, Observed
from trireme.lifecycle.pod import Pod
from trireme.spec.status import JobStatus

PODS_PENDING = "PodsPending"
"""Reason of a job with which nothing is wrong: its pods need a moment."""
_NODES_AVAILABLE = re.compile(
    r"^\d+/\d+ nodes are available: (?P<reasons>.*?)(?:\. (?:preemption|no new claims).*)?\.?$"
)
_COUNTED = re.compile(r"^(?P<count>\d+) (?P<reason>.+)$")
_WHICH_POD = re.compile(r" \(pod: .*\)$")
_ROOT_WAY_OUT = "set runAsUser in the template's securityContext, or runAsNonRoot: false to allow root"


def pending(observed: Observed, desired: int, queue: str | None = None, slow: Sequence[Pod] = ()) -> str:
    """`queue`: who admits the pods, when a queue does. `slow`: pods that have been starting for long."""
    trouble = _trouble(observed, desired, queue)
    if trouble:
        return trouble if observed.blocked and trouble == blocked(observed.blocked[0]) else f"Pending: {trouble}"
    up = len(observed.running) + len(observed.ended)
    why = (
        f"; {slow[0].name} is still {slow[0].waiting_reason or 'starting'}: kubectl describe pod tells" if slow else ""
    )
    return f"Pending: {up}/{desired} pods run{why}"


def restarting(began: str, observed: Observed, desired: int, queue: str | None = None) -> str:
    """`began`: why, and which try it is. Behind it, who is still missing."""
    trouble = _trouble(observed, desired, queue)
    if trouble:
        return f"{began}; {trouble}"
    there = [(pod.role, pod.index) for pod in observed.starting + observed.failed]
    missing = sorted([*((pod.role, pod.index) for pod in observed.absent), *there])
    labels = [names.pod_label(role, index) for role, index in missing]
    shown = labels[: wire.MISSING_MAX] + ([f"{more} more"] if (more := len(labels) - wire.MISSING_MAX) > 0 else [])
    return f"{began}; waiting for {', '.join(shown)}" if shown else began


def _trouble(observed: Observed, desired: int, queue: str | None) -> str:
    """What keeps pods from running, if it is more than that they need a moment."""
    if observed.unavailable:
        return observed.unavailable.message
    if observed.refused:
        return observed.refused.sentence
    if observed.foreign:
        pod = observed.foreign[0]
        if _of_an_earlier_job(pod):
            return f"waiting for pod {pod.name} of an earlier job to go"
        return f"pod {pod.name} exists already and belongs to something else: delete it, or rename the job"
    if observed.stale:
        return f"replacing {count(len(observed.stale), 'pod')} that an earlier spec made"
    if observed.unschedulable:
        reason = scheduling_reason(observed.unschedulable[0].unschedulable)
        return f"{len(observed.unschedulable)}/{desired} unschedulable: {reason}"
    if observed.gated:
        way = f"wait for admission by queue {queue}" if queue else "are held back by a scheduling gate"
        return f"{len(observed.gated)}/{desired} {way}"
    if observed.blocked:
        return blocked(observed.blocked[0])
    if observed.deleting:
        return f"waiting for pod {observed.deleting[0].name} to go"
    return ""


def _of_an_earlier_job(pod: Pod) -> bool:
    """Whether another's pod goes by itself: a job of this name had it, or somebody has deleted it."""
    return pod.deleting or bool(pod.job and pod.owner_uid)


def pending_reason(observed: Observed) -> str:
    """What `pending` says, in one CamelCase word for conditions and Events; PodsPending: nothing is wrong."""
    if observed.unavailable:
        return observed.unavailable.reason
    if observed.refused:
        return observed.refused.reason
    if observed.foreign:
        return PODS_PENDING if _of_an_earlier_job(observed.foreign[0]) else NAME_TAKEN
    if observed.stale:
        return PODS_PENDING
    if observed.unschedulable:
        return "Unschedulable"
    if observed.gated:
        return PODS_PENDING
    return observed.blocked[0].waiting_reason if observed.blocked else PODS_PENDING


def unplaced_reason(observed: Observed) -> str:
    """Why pods have no node, in one CamelCase word."""
    if observed.unavailable:
        return observed.unavailable.reason
    if observed.unschedulable:
        return "Unschedulable"
    return "SchedulingGated" if observed.gated else PODS_PENDING


def blocked(pod: Pod) -> str:
    detail = f": {pod.waiting_message}" if pod.waiting_message else ""
    if "runAsNonRoot" in detail:  # the kubelet's `container has runAsNonRoot and image ... (pod: ...)`
        detail = f"{_WHICH_POD.sub('', detail)}: {_ROOT_WAY_OUT}"
    return f"{names.pod_label(pod.role, pod.index)}: {pod.waiting_reason}{detail}"[:300]


def running(observed: Observed, desired: int, limits: tuple[int, int] | None = None) -> str:
    """`limits`: of an elastic job."""
    pods = f"Running: {len(observed.running) + len(observed.succeeded)}/{desired} pods"
    if limits is not None:
        pods += f" (elastic {limits[0]}-{limits[1]})"
    if observed.silent:
        return f"{pods}; no progress is known: the coordinator does not answer the operator"
    held = isinstance(observed.report, wire.News) and observed.report.held is not None  # its end is a matter of moments
    if observed.report is not None and observed.report.missing and not held:
        return f"Running: waiting for {', '.join(observed.report.missing)} to join"
    if observed.report is not None and observed.report.stragglers:
        return f"{pods}; {slow_rank(observed.report.stragglers)}"
    return pods


def waiting(observed: Observed) -> str:
    """Why an elastic job has not all the pods that it wants."""
    if observed.unschedulable:
        reason = scheduling_reason(observed.unschedulable[0].unschedulable)
        return f"{len(observed.unschedulable)} unschedulable: {reason}"
    if observed.refused:
        return observed.refused.sentence
    return f"{count(observed.unplaced, 'pod')} without a node"


def slow_rank(stragglers: Sequence[wire.Straggler]) -> str:
    """`rank 3 is slow: 0.5 steps/s, the median is 2`; of several the slowest."""
    slowest = min(stragglers, key=lambda each: each.steps_per_second)
    more = f", and {len(stragglers) - 1} more" if len(stragglers) > 1 else ""
    return (
        f"rank {slowest.rank} is slow: {slowest.steps_per_second:.2g} steps/s, "
        f"the median is {slowest.median:.2g}{more}"
    )  # fmt: skip


def tries(status: JobStatus) -> str:
    """`2 restarts, 1 disruption`."""
    said = (
        status.restarts and count(status.restarts, "restart"),
        status.disruptions and count(status.disruptions, "disruption"),
    )
    return ", ".join(each for each in said if each)


def count(number: int, one: str, many: str = "") -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def scheduling_reason(message: str) -> str:
    """`Insufficient nvidia.com/gpu, node(s) had ...` out of the scheduler's sentence, most frequent reason first.

    The scheduler writes `0/5 nodes are available: 3 Insufficient nvidia.com/gpu, 2 node(s) had ... . preemption: ...`;
    anything else is returned as it is.
    """
    matched = _NODES_AVAILABLE.match(" ".join(message.split()))
    if matched is None:
        return message
    counts: Counter[str] = Counter()
    for part in matched["reasons"].split(", "):
        counted = _COUNTED.match(part)
        if counted is None:  # a reason that itself holds a comma: rather the whole sentence than a torn one
            return message
        counts[counted["reason"]] += int(counted["count"])
    return ", ".join(reason for reason, _ in counts.most_common())
