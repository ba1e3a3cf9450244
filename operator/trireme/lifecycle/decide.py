"""The job's life in one function: from what is observed and what was said before to what to do and to say now.

Pending --all pods run--> Running --all pods succeeded--> Succeeded
   |                        |-------a pod failed--------> Failed          (terminal is terminal)
   `------------------------`--spec.suspend--> Suspended --not any more--> Pending
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from trireme.contract import names
from trireme.lifecycle import conditions, message
from trireme.lifecycle.decision import Decision, PodDeletion
from trireme.lifecycle.observe import Observed
from trireme.lifecycle.pod import Pod
from trireme.lifecycle.policies import suspend
from trireme.lifecycle.policies.cleanup import leftovers
from trireme.lifecycle.policies.failure import RANK_FAILED, Verdict, judge
from trireme.lifecycle.policies.success import succeeded
from trireme.lifecycle.policies.suspend import suspended
from trireme.lifecycle.progress import progress
from trireme.lifecycle.rootcause import sentence
from trireme.plan.kueue import queue_of
from trireme.plan.plan import Plan
from trireme.spec.errors import FieldError
from trireme.spec.status import JobStatus, ReplicaCounts

PENDING = "Pending"
SLOW_START_SECONDS = 30.0
"""A placed pod that has not started for so long is worth a word: an image is big, or a volume cannot be mounted."""
PROBLEMS_SHOWN = 10
"""Of an invalid spec: a status is bounded, `trireme validate` shows all."""


def decide(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    """Idempotent: with the same inputs it decides the same, and what it decided is gone once it is done."""
    if conditions.finished(status):
        return Decision(status, delete=_deletions(leftovers(observed, plan.job.spec.cleanup.pods)))
    status = _seen(plan, observed, status)
    if suspended(status):
        if plan.job.spec.suspend:
            return _suspend(plan, observed, status, now)
        status = _resumed(plan, status, now)
    started = status.start_time is not None
    if started or not observed.stale:  # what pods of an earlier plan do is nothing to a job that has not started
        if succeeded(observed, plan):
            return _finish(plan, observed, _started(status, now), now, conditions.SUCCEEDED, "AllRanksDone", "")
        verdict = judge(observed, status, now)
        if verdict is not None:
            return _failing(plan, observed, status, verdict, now)
    if plan.job.spec.suspend:
        return _suspend(plan, observed, status, now)
    if not started and (observed.stale or len(observed.running) + len(observed.succeeded) < len(plan.pods)):
        return _launch(plan, observed, status, now)
    return _run(plan, observed, _started(status, now), now)


def rejected(generation: int, status: JobStatus, errors: tuple[FieldError, ...], now: datetime) -> JobStatus:
    """The status of a job that cannot run as it is written. A finished job stays as it was."""
    if conditions.finished(status):
        return status
    shown = "; ".join(map(str, errors[:PROBLEMS_SHOWN]))
    more = f"; and {len(errors) - PROBLEMS_SHOWN} more" if len(errors) > PROBLEMS_SHOWN else ""
    text = f"Failed: invalid spec: {shown}{more}"
    return _say(status, generation, now, conditions.FAILED, text, (conditions.FAILED, True, "InvalidSpec")).model_copy(
        update={"completion_time": now}
    )


def _launch(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    """Not all pods have run yet: make what is missing, replace what an older plan made."""
    placed = observed.unplaced == 0
    reason = "AllPodsPlaced" if placed else message.unplaced_reason(observed)
    slow = [pod for pod in observed.starting if pod.node and now.timestamp() - pod.created_at >= SLOW_START_SECONDS]
    text = message.pending(observed, len(plan.pods), queue_of(plan.job.spec.scheduling), slow)
    said = _say(
        status, plan.job.generation, now, PENDING, text,
        (conditions.SCHEDULED, placed, reason), (conditions.RUNNING, False, message.pending_reason(observed)),
    )  # fmt: skip
    if observed.unavailable:  # the plan lacks what the pods are to have: nothing is made by it, and nothing replaced
        return Decision(said)
    return Decision(
        said,
        delete=_deletions(pod for pod in observed.stale if not pod.deleting),
        create=observed.absent,
        look_again_seconds=SLOW_START_SECONDS if observed.starting and not slow else None,
    )


def _suspend(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    reason = suspend.reason(status)
    if not suspended(status):
        status = status.model_copy(update={"suspensions": status.suspensions + 1, "start_time": None})
    said = _say(
        status, plan.job.generation, now, conditions.SUSPENDED, suspend.sentence(reason, observed),
        (conditions.SCHEDULED, False, conditions.SUSPENDED), (conditions.RUNNING, False, conditions.SUSPENDED),
        (conditions.SUSPENDED, True, reason),
    )  # fmt: skip
    return Decision(said, delete=_deletions(suspend.doomed(observed)))


def _resumed(plan: Plan, status: JobStatus, now: datetime) -> JobStatus:
    resumed = conditions.condition(
        conditions.SUSPENDED, False, suspend.RESUMED, "spec.suspend is false", now, plan.job.generation
    )
    return status.model_copy(update={"conditions": conditions.put(status.conditions, resumed)})


def _run(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    text = message.running(observed, len(plan.pods))
    if observed.stale:
        text += "; a change of the spec, or of the cluster's gang scheduling, is ignored: a started job keeps its plan"
    said = _say(
        status, plan.job.generation, now, conditions.RUNNING, text,
        (conditions.SCHEDULED, True, "AllPodsPlaced"), (conditions.RUNNING, True, "AllPodsRun"),
    )  # fmt: skip
    coordinator = next((pod.ip for pod in observed.running if (pod.role, pod.index) == (names.ROLE_WORKER, 0)), "")
    return Decision(said, poll_coordinator=coordinator)


def _failing(plan: Plan, observed: Observed, status: JobStatus, verdict: Verdict, now: datetime) -> Decision:
    status = status.model_copy(update={"failure": verdict.failure})
    text = sentence(verdict.failure)
    if verdict.settle_seconds == 0:
        return _finish(plan, observed, status, now, conditions.FAILED, verdict.failure.reason, text)
    said = _say(
        status, plan.job.generation, now, status.phase or PENDING, text, (conditions.RUNNING, False, RANK_FAILED)
    )
    return Decision(said, look_again_seconds=verdict.settle_seconds)


def _finish(
    plan: Plan, observed: Observed, status: JobStatus, now: datetime, kind: str, reason: str, why: str
) -> Decision:
    """The verdict is written before anything is cleaned up."""
    if not why:
        since = f" in {(now - status.start_time).total_seconds():.0f}s" if status.start_time else ""
        processes = sum(pod.slots for pod in plan.pods)
        why = f"{message.count(len(plan.pods), 'pod')}, {message.count(processes, 'process', 'processes')}{since}"
    changes = [(kind, True, reason), (conditions.RUNNING, False, kind)]
    if kind == conditions.SUCCEEDED:
        changes.insert(0, (conditions.SCHEDULED, True, "AllPodsPlaced"))
    said = _say(status, plan.job.generation, now, kind, f"{kind}: {why}", *changes)
    said = said.model_copy(update={"completion_time": now})
    return Decision(said, delete=_deletions(leftovers(observed, plan.job.spec.cleanup.pods)))


def _seen(plan: Plan, observed: Observed, status: JobStatus) -> JobStatus:
    """What is counted, whatever the phase."""
    workers = _counts(plan, observed, names.ROLE_WORKER)
    return status.model_copy(
        update={
            "workers": workers,
            "servers": _counts(plan, observed, names.ROLE_SERVER) if names.ROLE_SERVER in plan.roles else None,
            "workers_ready": f"{workers.ready + workers.succeeded}/{workers.desired}",
            "selector": f"{names.LABEL_JOB}={plan.job.name},{names.LABEL_ROLE}={names.ROLE_WORKER}",
            "attempt": plan.attempt,
            "progress": progress(observed, status.progress),
        }
    )


def _counts(plan: Plan, observed: Observed, role: str) -> ReplicaCounts:
    def count(pods: Iterable[Pod]) -> int:
        return sum(pod.role == role for pod in pods)

    return ReplicaCounts(
        desired=len(plan.of(role)),
        ready=count(observed.running),
        active=count(observed.active),
        succeeded=count(observed.succeeded),
        failed=count(observed.failed),
    )


def _started(status: JobStatus, now: datetime) -> JobStatus:
    return status if status.start_time is not None else status.model_copy(update={"start_time": now})


def _say(
    status: JobStatus, generation: int, now: datetime, phase: str, text: str, *changes: tuple[str, bool, str]
) -> JobStatus:
    """Phase, message and conditions (type, status, reason), all saying the same."""
    listed = list(status.conditions)
    for kind, value, reason in changes:
        listed = conditions.put(listed, conditions.condition(kind, value, reason, text, now, generation))
    update: dict[str, Any] = {"phase": phase, "message": text, "conditions": listed, "observed_generation": generation}
    return status.model_copy(update=update)


def _deletions(pods: Iterable[Pod]) -> tuple[PodDeletion, ...]:
    return tuple(PodDeletion(pod.name, pod.uid) for pod in pods)
