"""Whether something failed that nobody has counted yet, and when its cause is certain.

The first failed pod that we see need not be the first that failed. Where only the pod of the cause ends (restart scope
Failed) it speaks for itself; one that looks as if it had followed another, and all of them where all end, are given a
moment for the others' last words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trireme.lifecycle import conditions
from trireme.lifecycle.observe import Observed
from trireme.lifecycle.pod import Pod, ended_in
from trireme.lifecycle.rootcause import Cause, root_cause
from trireme.spec.model import RestartScope
from trireme.spec.status import JobStatus

RANK_FAILED = "RankFailed"
"""Reason of Running=False between the first failed pod and the verdict; its transition time is when we saw it."""
SETTLE_SECONDS = 3.0


@dataclass(frozen=True)
class Verdict:
    cause: Cause
    settle_seconds: float
    """How long to wait for further last words; 0: final."""


def judge(
    observed: Observed, status: JobStatus, scope: RestartScope, now: datetime, *, elastic: bool = False
) -> Verdict | None:
    """None when nothing failed that is not counted already. `elastic`: pods come and go, and one that is not there
    need not have been."""
    failed, missing = _uncounted(observed, status)
    cause = root_cause(failed, () if elastic else missing)
    if cause is None:
        return None
    if not observed.active or (scope is RestartScope.FAILED and not cause.followed):
        return Verdict(cause, 0.0)
    running = conditions.find(status, conditions.RUNNING)
    if running is None or running.reason != RANK_FAILED:
        return Verdict(cause, SETTLE_SECONDS)
    return Verdict(cause, max(0.0, SETTLE_SECONDS - (now - running.last_transition_time).total_seconds()))


def _uncounted(observed: Observed, status: JobStatus) -> tuple[Sequence[Pod], Sequence[str]]:
    """Failed pods, and names of pods that are not there.

    Before all pods run, for the first time or again, one that somebody deletes is simply made again. While the job
    restarts, what an earlier attempt left is counted.
    """
    if conditions.is_true(status, conditions.RESTARTING):
        return [pod for pod in observed.failed if ended_in(pod) >= status.attempt and not pod.deleting], ()
    if status.start_time is None:
        return [pod for pod in observed.failed if not pod.deleting], ()
    missing = [*(pod.name for pod in observed.absent), *(pod.name for pod in observed.foreign)]
    return observed.failed + observed.deleting, missing
