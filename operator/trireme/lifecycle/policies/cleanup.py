"""Which pods of a finished job go (`spec.cleanup.pods`), and which of those that stay are ended.

Survivors of a failure wait for a successor that will not come: nobody tells them, because worker 0 may be the one that
failed. The kubelet ends them when their active deadline is over, which may be set at any time.
"""

from __future__ import annotations

from datetime import datetime

from trireme.lifecycle.observe import Observed
from trireme.lifecycle.pod import Pod, lives
from trireme.spec.model import PodCleanup
from trireme.spec.status import JobStatus

LAST_WORDS_SECONDS = 10.0
"""For pods to end by themselves, once the job has finished."""


def leftovers(observed: Observed, cleanup: PodCleanup) -> tuple[Pod, ...]:
    """Pods to delete, also those beyond the plan; those that are being deleted already are not named again."""
    if cleanup is PodCleanup.NONE:
        return ()
    pods = observed.ours
    if cleanup is PodCleanup.RUNNING:  # a kubelet says that the containers have ended before it says so of the pod
        pods = tuple(pod for pod in pods if lives(pod))
    return tuple(pod for pod in pods if not pod.deleting)


def expired(observed: Observed, status: JobStatus, now: datetime) -> tuple[tuple[Pod, ...], float | None]:
    """Pods of a finished job that have had their time; or in how many seconds they will have had it."""
    at_work = tuple(pod for pod in observed.ours if pod.running and not pod.deleting)
    if not at_work or status.completion_time is None:
        return (), None
    left = LAST_WORDS_SECONDS - (now - status.completion_time).total_seconds()
    return ((), left) if left > 0 else (at_work, None)
