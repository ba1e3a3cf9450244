"""When a failure is final, and which one it is.

The first failed pod that we see need not be the first that failed: the others' last words are awaited for a moment, so
that the status names the root cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trireme.lifecycle import conditions
from trireme.lifecycle.observe import Observed
from trireme.lifecycle.rootcause import root_cause
from trireme.spec.status import Failure, JobStatus

RANK_FAILED = "RankFailed"
"""Reason of Running=False between the first failed pod and the verdict; its transition time is when we saw it."""
SETTLE_SECONDS = 3.0


@dataclass(frozen=True)
class Verdict:
    failure: Failure
    settle_seconds: float
    """How long to wait for further last words; 0: final."""


def judge(observed: Observed, status: JobStatus, now: datetime) -> Verdict | None:
    """None when nothing failed. Before the start a pod that was deleted is simply made again; afterwards it failed."""
    if status.start_time is not None:
        failure = root_cause(observed.failed, [pod.name for pod in observed.absent])
    else:
        failure = root_cause(pod for pod in observed.failed if not pod.deleting)
    if failure is None:
        return None
    if not observed.active:
        return Verdict(failure, 0.0)
    running = conditions.find(status, conditions.RUNNING)
    if running is None or running.reason != RANK_FAILED:
        return Verdict(failure, SETTLE_SECONDS)
    return Verdict(failure, max(0.0, SETTLE_SECONDS - (now - running.last_transition_time).total_seconds()))
