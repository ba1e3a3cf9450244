"""A job of which only some pods have nodes gives them back after a while, so that two such jobs do not starve.

Where a gang scheduler or a queue places all pods or none it never happens. Everything that should differ between two
jobs is derived from their UIDs: who gives back first, and how long it then waits.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from trireme.lifecycle import conditions
from trireme.lifecycle.observe import Observed
from trireme.lifecycle.pod import Pod
from trireme.plan.kueue import queue_of
from trireme.plan.plan import Plan
from trireme.spec.model import Strategy
from trireme.spec.status import JobStatus

GIVEN_BACK = "PodsGivenBack"
"""Reason of Scheduled=False from the moment at which the pods go until the next try."""
PATIENCE_SECONDS = 300.0
"""Without progress in placement; `spec.deadlines.pendingSeconds` is another."""
STAGGER = 0.5
"""Of two that wait for each other one gives up earlier, by up to this part of its patience."""
PAUSE_SECONDS = 30.0
PAUSE_SPREAD_SECONDS = 90.0


def holding(observed: Observed) -> tuple[Pod, ...]:
    return tuple(pod for pod in observed.running + observed.starting + observed.blocked if pod.node)


def patience_left(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> float | None:
    """Seconds until the pods are to be given back; None when the job is not placed by halves."""
    held = holding(observed)
    since = conditions.since(status, conditions.SCHEDULED, False)
    if not held or not observed.unschedulable or since is None or _whole(plan) or _goes_on(plan, status, len(held)):
        return None
    progress = max(since.timestamp(), *(pod.placed_at for pod in held))
    patience = (plan.job.spec.deadlines.pending_seconds or PATIENCE_SECONDS) * (1 + STAGGER * _lot(plan.job.uid, since))
    return patience - (now.timestamp() - progress)


def pause(uid: str, since: datetime) -> float:
    """Seconds between giving back and the next try."""
    return PAUSE_SECONDS + PAUSE_SPREAD_SECONDS * _lot(uid, since)


def pause_left(status: JobStatus, uid: str, now: datetime) -> float:
    """0 for a job that has given nothing back."""
    condition = conditions.find(status, conditions.SCHEDULED)
    if condition is None or condition.reason != GIVEN_BACK:
        return 0.0
    since = condition.last_transition_time
    return max(0.0, pause(uid, since) - (now - since).total_seconds())


def _whole(plan: Plan) -> bool:
    """Somebody places all pods at once."""
    return plan.gang is not None or queue_of(plan.job.spec.scheduling) is not None


def _goes_on(plan: Plan, status: JobStatus, held: int) -> bool:
    """The members of a parameter server train without the one that is missing, an elastic job with its minimum."""
    if plan.job.spec.elastic is not None and held >= plan.minimum:
        return True
    return status.start_time is not None and plan.job.spec.strategy is Strategy.PARAMETER_SERVER


def _lot(uid: str, since: datetime) -> float:
    """Evenly spread over [0, 1), another one each time."""
    digest = hashlib.sha256(f"{uid} {since.timestamp():.0f}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32
