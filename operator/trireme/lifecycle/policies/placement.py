"""A job that has only some of its pods gives them back after a while, so that two such jobs do not starve.

Nodes are missing, or a quota refuses the rest. A gang scheduler or a queue, which places all pods or none, spares a
job the former only. Everything that should differ between two jobs is derived from their UIDs: who gives back first,
and how long it then waits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

from trireme.lifecycle import conditions
from trireme.lifecycle.observe import REFUSED, Observed
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
PAUSE_SECONDS = 90.0
"""Until the next try, at least: meanwhile the pods end, and who waits for their place tries again (a refused pod once a
minute)."""
PAUSE_PART = 0.25
"""Of the time for which the job has not run: what never fits is tried ever less often."""
PAUSE_CAP_SECONDS = 900.0


def refused(observed: Observed) -> bool:
    """Whether the API server does not take pods that are missing, mostly for a quota."""
    return observed.refused is not None and observed.refused.reason == REFUSED and bool(observed.absent)


def holding(observed: Observed) -> tuple[Pod, ...]:
    """Pods that have what another job may lack: a node; or a part of a quota, also without a node."""
    there = tuple(pod for pod in observed.active if not pod.deleting)
    return there if refused(observed) else tuple(pod for pod in there if pod.node)


def patience_left(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> float | None:
    """Seconds until the pods are to be given back; None when the job does not hold some and lack others."""
    held, lacking = holding(observed), observed.unschedulable or refused(observed)
    since = conditions.since(status, conditions.SCHEDULED, False)
    if not held or not lacking or since is None or _whole(plan, observed) or _goes_on(plan, status, held):
        return None
    progress = max(since.timestamp(), *(max(pod.created_at, pod.placed_at) for pod in held))
    patience = (plan.job.spec.deadlines.pending_seconds or PATIENCE_SECONDS) * (1 + STAGGER * _lot(plan.job.uid, since))
    return patience - (now.timestamp() - progress)


def pause(status: JobStatus, uid: str, since: datetime) -> float:
    """Seconds between giving back, at `since`, and the next try: once to twice what is due, so that two differ."""
    idle = (conditions.since(status, each, False) for each in (conditions.RUNNING, conditions.SUSPENDED))
    waited = (since - max((each for each in idle if each is not None), default=since)).total_seconds()
    return min(max(PAUSE_SECONDS, PAUSE_PART * waited), PAUSE_CAP_SECONDS) * (1 + _lot(uid, since))


def pause_left(status: JobStatus, plan: Plan, now: datetime) -> float:
    """0 for a job that has given nothing back, or that was changed since: it may fit now."""
    condition = conditions.find(status, conditions.SCHEDULED)
    if condition is None or condition.reason != GIVEN_BACK or condition.observed_generation != plan.job.generation:
        return 0.0
    since = condition.last_transition_time
    return max(0.0, pause(status, plan.job.uid, since) - (now - since).total_seconds())


def _whole(plan: Plan, observed: Observed) -> bool:
    """Somebody places all pods at once; a quota counts them before."""
    return not refused(observed) and (plan.gang is not None or queue_of(plan.job.spec.scheduling) is not None)


def _goes_on(plan: Plan, status: JobStatus, held: Iterable[Pod]) -> bool:
    """The members of a parameter server train without the one that is missing, an elastic job with its minimum."""
    if plan.job.spec.elastic is not None and sum(bool(pod.node) for pod in held) >= plan.minimum:
        return True
    return status.start_time is not None and plan.job.spec.strategy is Strategy.PARAMETER_SERVER


def _lot(uid: str, since: datetime) -> float:
    """Evenly spread over [0, 1), another one each time."""
    digest = hashlib.sha256(f"{uid} {since.timestamp():.0f}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32
