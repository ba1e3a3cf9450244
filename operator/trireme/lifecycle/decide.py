"""The job's life in one function: from what is observed and what was said before to what to do and to say now.

Pending --all pods run--> Running --all workers succeeded--> Succeeded
   |                      |     ^
   |           a pod failed     all pods run again
   |                      v     |
   |                    Restarting --no more restarts, or none can help--> Failed     (terminal is terminal)
   `----------------------`--spec.suspend--> Suspended --not any more--> Pending
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from trireme.contract import names
from trireme.lifecycle import conditions, message
from trireme.lifecycle.assemble import (
    ENOUGH,
    PENDING,
    assemble,
    assembled,
    begin_again,
    coordinator,
    deletions,
    goes_on,
    limits,
    soonest,
)
from trireme.lifecycle.decision import Decision, PodDeletion, PodExpiry
from trireme.lifecycle.observe import Observed, other_agent
from trireme.lifecycle.pod import Pod
from trireme.lifecycle.policies import budget, deadline, inplace, nodes, shrink, suspend
from trireme.lifecycle.policies.cleanup import expired, leftovers
from trireme.lifecycle.policies.failure import RANK_FAILED, Verdict, judge
from trireme.lifecycle.policies.restart import Action, action
from trireme.lifecycle.policies.success import LINGER_SECONDS, succeeded
from trireme.lifecycle.policies.suspend import suspended
from trireme.lifecycle.progress import progress
from trireme.lifecycle.rootcause import sentence
from trireme.lifecycle.saying import restarted, say
from trireme.plan.plan import Plan
from trireme.spec.errors import FieldError
from trireme.spec.status import JobStatus, ReplicaCounts

PROBLEMS_SHOWN = 10
"""Of an invalid spec: a status is bounded, `trireme validate` shows all."""


def decide(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    """Idempotent: with the same inputs it decides the same, and what it decided is gone once it is done."""
    if conditions.finished(status):
        return _over(plan, observed, status, now)
    decision = _alive(plan, observed, _seen(plan, observed, status), now)
    stuck = nodes.forced(observed, plan.job.spec.restart.force_delete_seconds, now)
    return replace(
        decision,
        delete=(*decision.delete, *(PodDeletion(pod.name, pod.uid, force=True) for pod in stuck)),
        look_again_seconds=soonest(decision.look_again_seconds, nodes.look_again(observed, now)),
    )


def _alive(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    if suspended(status):
        if plan.job.spec.suspend:
            return _suspend(plan, observed, status, now)
        status = _resumed(plan, status, now)
    started = status.start_time is not None
    if started or not observed.stale:  # what pods of an earlier plan do is nothing to a job that has not started
        if succeeded(observed, plan, now):
            return _finish(plan, observed, _started(status, now), now, conditions.SUCCEEDED, "AllRanksDone", "")
        elastic = plan.job.spec.elastic is not None
        verdict = judge(
            shrink.without_leavers(observed, status), status, plan.job.spec.restart.scope, now, elastic=elastic
        )
        if verdict is not None:
            return _failing(plan, observed, status, verdict, now)
    if plan.job.spec.suspend:
        return _suspend(plan, observed, status, now)
    if late := _late(plan, observed, status, now):
        return _finish(plan, observed, status, now, conditions.FAILED, deadline.EXCEEDED, late)
    if (failed := inplace.uncounted(plan, observed, status, now)) is not None:
        return begin_again(plan, observed, status, failed, Action.RETRY, now)
    if not assembled(plan, observed, status):
        decision = assemble(plan, observed, status, now)
    else:
        decision = _run(plan, observed, _started(status, now), now)
    left = deadline.active_left(plan.job.spec, decision.status, now)
    return replace(
        decision,
        ruling=inplace.ruling(plan, observed, status, now),
        look_again_seconds=soonest(decision.look_again_seconds, left),
    )


def rejected(generation: int, status: JobStatus, errors: tuple[FieldError, ...], now: datetime) -> JobStatus:
    """The status of a job that cannot run as it is written, whose pods are deleted. A finished job stays as it was."""
    if conditions.finished(status):
        return status.model_copy(update={"observed_generation": generation})
    shown = "; ".join(map(str, errors[:PROBLEMS_SHOWN]))
    more = f"; and {len(errors) - PROBLEMS_SHOWN} more" if len(errors) > PROBLEMS_SHOWN else ""
    text = f"Failed: invalid spec: {shown}{more}"
    changes = [(conditions.FAILED, True, "InvalidSpec"), *restarted(status, conditions.FAILED)]
    if conditions.find(status, conditions.RUNNING) is not None:
        changes.append((conditions.RUNNING, False, conditions.FAILED))
    for field in ("workers", "servers"):
        if (counted := getattr(status, field)) is not None:
            status = _recounted(status, field, _left(counted, ReplicaCounts(desired=counted.desired)))
    said = say(status, generation, now, conditions.FAILED, text, *changes)
    return said.model_copy(update={"completion_time": now})


def _over(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    """Whatever is deleted or edited, a finished job is never run again. Its last pods go on their way meanwhile."""
    for field, role in (("workers", names.ROLE_WORKER), ("servers", names.ROLE_SERVER)):
        if counted := getattr(status, field):
            status = _recounted(status, field, _left(counted, _counts(plan, observed, role)))
    status = status.model_copy(update={"observed_generation": plan.job.generation})  # an edit has been seen
    left = deadline.ttl_left(plan.job.spec.cleanup.ttl_seconds_after_finished, status, now)
    gone = leftovers(observed, plan.job.spec.cleanup.pods)
    late, later = ((), None) if gone else expired(observed, status, now)
    return Decision(
        status,
        delete=deletions(gone),
        expire=tuple(PodExpiry(pod.name, pod.uid) for pod in late),
        look_again_seconds=soonest(left, later),
        remove_job=left is not None and left <= 0,
    )


def _suspend(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    reason = suspend.reason(status)
    if not suspended(status):
        ran = round(deadline.active_seconds(status, now))
        status = status.model_copy(
            update={"suspensions": status.suspensions + 1, "start_time": None, "active_seconds": ran}
        )
    said = say(
        status, plan.job.generation, now, conditions.SUSPENDED, suspend.sentence(reason, observed),
        (conditions.SCHEDULED, False, conditions.SUSPENDED), (conditions.RUNNING, False, conditions.SUSPENDED),
        (conditions.SUSPENDED, True, reason), *restarted(status, conditions.SUSPENDED),
    )  # fmt: skip
    return Decision(said, delete=deletions(suspend.doomed(observed)))


def _resumed(plan: Plan, status: JobStatus, now: datetime) -> JobStatus:
    resumed = conditions.condition(
        conditions.SUSPENDED, False, suspend.RESUMED, "spec.suspend is false", now, plan.job.generation
    )
    return status.model_copy(update={"conditions": conditions.put(status.conditions, resumed)})


def _run(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    text = message.running(observed, len(plan.pods), limits(plan))
    up = len(observed.running) + len(observed.succeeded)
    elastic, ending = plan.job.spec.elastic is not None, bool(observed.succeeded)
    upgraded = elastic and any(other_agent(plan, pod) for pod in observed.running)
    if elastic and observed.absent and upgraded:
        text += "; it grows at its next restart, since the operator was upgraded"
    elif elastic and observed.unplaced and not ending:
        text += f"; {message.waiting(observed)}"
    if observed.stale:
        text += "; a change of the spec, or of the cluster's gang scheduling, waits for the next restart"
    said = say(
        status, plan.job.generation, now, conditions.RUNNING, text,
        (conditions.SCHEDULED, True, "EnoughPodsPlaced" if elastic and observed.unplaced else "AllPodsPlaced"),
        (conditions.RUNNING, True, ENOUGH if elastic and up < len(plan.pods) else "AllPodsRun"),
        *restarted(status, "AllPodsRun"),
    )  # fmt: skip
    return Decision(
        said,
        delete=deletions(observed.surplus),
        create=observed.absent if elastic and not (ending or upgraded) else (),
        poll_coordinator=coordinator(observed),
        look_again_seconds=LINGER_SECONDS if elastic and ending else None,
    )


def _failing(plan: Plan, observed: Observed, status: JobStatus, verdict: Verdict, now: datetime) -> Decision:
    """Another attempt, or the end; or neither before the cause is certain."""
    failure, said = verdict.cause.failure, plan.job.spec.restart
    if verdict.settle_seconds > 0:
        return _settling(plan, status.model_copy(update={"failure": failure}), verdict, now)
    what = action(verdict.cause, said.permanent_exit_codes)
    if what is Action.FAIL or (what is Action.RETRY and budget.spent(status, said, now) >= said.limit):
        text = sentence(failure) + (f"; {message.tries(status)} before" if status.attempt else "")
        status = status.model_copy(update={"failure": failure})
        return _finish(plan, observed, status, now, conditions.FAILED, failure.reason, text)
    return begin_again(plan, observed, status, failure, what, now)


def _settling(plan: Plan, status: JobStatus, verdict: Verdict, now: datetime) -> Decision:
    text, phase = sentence(verdict.cause.failure), status.phase or PENDING
    running, stopped = conditions.find(status, conditions.RUNNING), (conditions.RUNNING, False, RANK_FAILED)
    if running is not None and running.reason == RANK_FAILED:
        said = say(status, plan.job.generation, now, phase, text, stopped)
    else:  # its time is when we saw the first
        said = say(status, plan.job.generation, now, phase, text, begins=stopped)
    return Decision(said, look_again_seconds=verdict.settle_seconds)


def _late(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> str:
    """Why the job fails for the time it takes; empty while it has time."""
    said = plan.job.spec.deadlines
    left = deadline.active_left(plan.job.spec, status, now)
    if left is not None and left <= 0:
        return f"it has run for {said.active_seconds}s (deadlines.activeSeconds)"
    left = deadline.pending_left(plan.job.spec, status, now)
    if left is None or left > 0 or assembled(plan, observed, status) or goes_on(plan, observed):
        return ""
    return f"{message.pending(observed, len(plan.pods))} after {said.pending_seconds}s (deadlines.pendingSeconds)"


def _finish(
    plan: Plan, observed: Observed, status: JobStatus, now: datetime, kind: str, reason: str, why: str
) -> Decision:
    """The verdict is written before anything is cleaned up."""
    if not why:
        since = f" in {deadline.active_seconds(status, now):.0f}s" if status.start_time else ""
        processes = sum(pod.slots for pod in plan.pods)
        why = f"{message.count(len(plan.pods), 'pod')}, {message.count(processes, 'process', 'processes')}{since}"
        why += f", {message.tries(status)}" if status.attempt else ""
    changes = [(kind, True, reason), (conditions.RUNNING, False, kind), *restarted(status, kind)]
    if kind == conditions.SUCCEEDED:
        changes.insert(0, (conditions.SCHEDULED, True, "AllPodsPlaced"))
    said = say(status, plan.job.generation, now, kind, f"{kind}: {why}", *changes)
    said = said.model_copy(update={"completion_time": now})
    gone = deletions(leftovers(observed, plan.job.spec.cleanup.pods))
    later = None if gone else expired(observed, said, now)[1]
    left = deadline.ttl_left(plan.job.spec.cleanup.ttl_seconds_after_finished, said, now)
    return Decision(said, delete=gone, look_again_seconds=soonest(left, later))


def _seen(plan: Plan, observed: Observed, status: JobStatus) -> JobStatus:
    """What is counted, whatever the phase."""
    workers = _counts(plan, observed, names.ROLE_WORKER)
    return shrink.remembered(plan, observed, status).model_copy(
        update={
            "workers": workers,
            "servers": _counts(plan, observed, names.ROLE_SERVER) if names.ROLE_SERVER in plan.roles else None,
            "workers_ready": _ready(workers),
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


def _ready(workers: ReplicaCounts) -> str:
    return f"{min(workers.ready + workers.succeeded, workers.desired)}/{workers.desired}"


def _recounted(status: JobStatus, field: str, counts: ReplicaCounts) -> JobStatus:
    """`field`: workers or servers."""
    shown = {"workers_ready": _ready(counts)} if field == "workers" and status.workers_ready else {}
    return status.model_copy(update={field: counts, **shown})


def _left(counted: ReplicaCounts, now: ReplicaCounts) -> ReplicaCounts:
    """How pods ended is not forgotten when they are deleted."""
    ended = {"succeeded": max(counted.succeeded, now.succeeded), "failed": max(counted.failed, now.failed)}
    return counted.model_copy(update={"ready": now.ready, "active": now.active, **ended})


def _started(status: JobStatus, now: datetime) -> JobStatus:
    return status if status.start_time is not None else status.model_copy(update={"start_time": now})
