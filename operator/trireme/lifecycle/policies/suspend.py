"""A suspended job (`spec.suspend`) has no pods, and what its pods do on their way out says nothing of the job.

The suspension is written before the first pod is deleted for it. Until then a job can still succeed or fail; afterwards
a script that saves its work and exits 0 at SIGTERM, or dies of it, has neither succeeded nor failed.
"""

from __future__ import annotations

from trireme.lifecycle import conditions
from trireme.lifecycle.message import count
from trireme.lifecycle.observe import Observed
from trireme.lifecycle.pod import Pod
from trireme.spec.status import JobStatus

RESUMED = "JobResumed"
WHILE_RUNNING = "JobSuspended"
"""In batch/v1's words."""
BEFORE_THE_START = "NotStarted"


def suspended(status: JobStatus) -> bool:
    return conditions.is_true(status, conditions.SUSPENDED)


def reason(status: JobStatus) -> str:
    """Of condition Suspended: fixed when the suspension begins."""
    said = conditions.find(status, conditions.SUSPENDED)
    if said is not None and said.status == "True":
        return said.reason
    return BEFORE_THE_START if status.start_time is None else WHILE_RUNNING


def sentence(reason: str, observed: Observed) -> str:
    when = "Suspended before all pods ran" if reason == BEFORE_THE_START else "Suspended"
    left = len(observed.ours)
    what = f"{count(left, 'pod')} still to go" if left else "set spec.suspend to false to run it"
    return f"{when}: {what}"


def doomed(observed: Observed) -> tuple[Pod, ...]:
    """Every pod of the job, finished ones too: their successors need the names."""
    return tuple(pod for pod in observed.ours if not pod.deleting)
