"""Workers that were scaled away are nobody's loss, also when they are wanted again before they have gone.

A pod in Terminating does not tell who wanted it to go, so the status does: it is written before the first is deleted.
"""

from __future__ import annotations

from dataclasses import replace

from trireme.contract import names
from trireme.lifecycle.observe import Observed
from trireme.lifecycle.pod import Pod
from trireme.plan.plan import Plan
from trireme.spec.status import JobStatus


def remembered(plan: Plan, observed: Observed, status: JobStatus) -> JobStatus:
    """`status.shrunk_to`: workers from this index on go, until they have gone."""
    to = status.shrunk_to
    if observed.surplus:
        wanted = len(plan.of(names.ROLE_WORKER))
        to = wanted if to is None else min(to, wanted)
    elif not any(_leaves(pod, status) for pod in (*observed.deleting, *observed.failed)):
        to = None
    return status.model_copy(update={"shrunk_to": to})


def without_leavers(observed: Observed, status: JobStatus) -> Observed:
    """What may be judged."""
    deleting, failed = (
        tuple(pod for pod in bucket if not _leaves(pod, status)) for bucket in (observed.deleting, observed.failed)
    )
    return replace(observed, deleting=deleting, failed=failed)


def _leaves(pod: Pod, status: JobStatus) -> bool:
    to = status.shrunk_to
    return to is not None and pod.deleting and pod.role == names.ROLE_WORKER and pod.index >= to
