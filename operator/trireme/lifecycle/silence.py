"""Pods that run and are of no use any more: frozen as a whole, or cut off from the others (docs/adr/0016).

Kubernetes sees nothing wrong with them. A worker or server that the coordinator has given up, and a worker 0 whose
coordinator the others have given up, count as failed from then on, so that they are replaced like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from trireme.contract import exits, names, wire
from trireme.contract.wire import JobReport
from trireme.lifecycle import conditions
from trireme.lifecycle.pod import Pod, Terminated
from trireme.spec.status import JobStatus

KUBERNETES_SECONDS = 90.0
"""For Kubernetes to find a lost node, beyond the time for which pods stay on it: that is a disruption, not counted."""
GIVEN_UP = "the pod runs, and the others have given up waiting for a word of it"


def mark(
    pods: Iterable[Pod], report: JobReport | None, status: JobStatus | None, node_lost_seconds: float
) -> Iterator[Pod]:
    """The same pods; of those that are silent the record says that they have failed, with reason PodSilent.

    What was counted stays so until the pod goes, whatever is heard meanwhile: `status` says it.
    """
    pods = list(pods)
    ends = [pod.terminated for pod in pods if pod.terminated is not None]
    given_up = max((end.finished_at for end in ends if _lost_the_coordinator(end)), default=0.0)
    limit = KUBERNETES_SECONDS + node_lost_seconds
    silent = {uid for uid, seconds in report.silent.items() if seconds >= limit} if report is not None else set()
    for pod in pods:
        hosts = (pod.role, pod.index) == (names.ROLE_WORKER, 0) and pod.created_at < given_up - wire.SILENCE_SECONDS
        useless = pod.uid in silent or hosts or _counted(pod, status)
        if pod.running and useless and not (pod.deleting or pod.reason):
            yield replace(pod, reason=exits.POD_SILENT, message=GIVEN_UP)
        else:
            yield pod


def _counted(pod: Pod, status: JobStatus | None) -> bool:
    if status is None or status.failure is None or not conditions.is_true(status, conditions.RESTARTING):
        return False
    return (status.failure.reason, status.failure.pod) == (exits.POD_SILENT, pod.name) and pod.attempt < status.attempt


def _lost_the_coordinator(ended: Terminated) -> bool:
    """Whether a pod ended because worker 0 did not answer any more."""
    meaning = exits.describe(exits.COORDINATOR_LOST)
    said = wire.read_termination(ended.message) if ended.exit_code == exits.COORDINATOR_LOST else None
    return said is not None and said.failure is not None and said.failure.reason == meaning.reason
