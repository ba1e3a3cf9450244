"""The one truthful line: why a job is where it is. The worst problem speaks; counts come first, then the reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from trireme.contract import names
from trireme.lifecycle.observe import Observed
from trireme.lifecycle.pod import Pod

_NODES_AVAILABLE = re.compile(
    r"^\d+/\d+ nodes are available: (?P<reasons>.*?)(?:\. (?:preemption|no new claims).*)?\.?$"
)
_COUNTED = re.compile(r"^(?P<count>\d+) (?P<reason>.+)$")
_WHICH_POD = re.compile(r" \(pod: .*\)$")
_ROOT_WAY_OUT = "set runAsUser in the template's securityContext, or runAsNonRoot: false to allow root"


def pending(observed: Observed, desired: int, queue: str | None = None, slow: Sequence[Pod] = ()) -> str:
    """`queue`: who admits the pods, when a queue does. `slow`: pods that have been starting for long."""
    if observed.unavailable:
        return f"Pending: {observed.unavailable.message}"
    if observed.refused:
        return f"Pending: the API server refuses: {observed.refused}"
    if observed.foreign:
        pod = observed.foreign[0]
        if pod.deleting:
            return f"Pending: waiting for pod {pod.name} of an earlier job to go"
        return f"Pending: pod {pod.name} exists already and belongs to something else: delete it, or rename the job"
    if observed.stale:
        return f"Pending: replacing {count(len(observed.stale), 'pod')} that an earlier spec made"
    if observed.unschedulable:
        reason = scheduling_reason(observed.unschedulable[0].unschedulable)
        return f"Pending: {len(observed.unschedulable)}/{desired} unschedulable: {reason}"
    if observed.gated:
        way = f"wait for admission by queue {queue}" if queue else "are held back by a scheduling gate"
        return f"Pending: {len(observed.gated)}/{desired} {way}"
    if observed.blocked:
        return blocked(observed.blocked[0])
    if observed.deleting:
        return f"Pending: waiting for pod {observed.deleting[0].name} to go"
    up = len(observed.running) + len(observed.succeeded) + len(observed.failed)
    why = (
        f"; {slow[0].name} is still {slow[0].waiting_reason or 'starting'}: kubectl describe pod tells" if slow else ""
    )
    return f"Pending: {up}/{desired} pods run{why}"


def pending_reason(observed: Observed) -> str:
    """What `pending` says, in one CamelCase word for conditions and Events; PodsPending: nothing is wrong."""
    if observed.unavailable:
        return observed.unavailable.reason
    if observed.refused:
        return "Refused"
    if observed.foreign:
        return "PodsPending" if observed.foreign[0].deleting else "NameTaken"
    if observed.stale:
        return "PodsPending"
    if observed.unschedulable:
        return "Unschedulable"
    if observed.gated:
        return "PodsPending"
    return observed.blocked[0].waiting_reason if observed.blocked else "PodsPending"


def unplaced_reason(observed: Observed) -> str:
    """Why pods have no node, in one CamelCase word."""
    if observed.unavailable:
        return observed.unavailable.reason
    if observed.unschedulable:
        return "Unschedulable"
    return "SchedulingGated" if observed.gated else "PodsPending"


def blocked(pod: Pod) -> str:
    detail = f": {pod.waiting_message}" if pod.waiting_message else ""
    if "runAsNonRoot" in detail:  # the kubelet's `container has runAsNonRoot and image ... (pod: ...)`
        detail = f"{_WHICH_POD.sub('', detail)}: {_ROOT_WAY_OUT}"
    return f"{names.pod_label(pod.role, pod.index)}: {pod.waiting_reason}{detail}"[:300]


def running(observed: Observed, desired: int) -> str:
    pods = f"Running: {len(observed.running) + len(observed.succeeded)}/{desired} pods"
    if observed.silent:
        return f"{pods}; no progress is known: the coordinator does not answer the operator"
    if observed.report is not None and observed.report.missing:
        return f"Running: waiting for {', '.join(observed.report.missing)} to join"
    return pods


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
