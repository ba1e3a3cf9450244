"""Getting all pods to run, for the first time or again: what is made, replaced, waited for or given back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from trireme.contract import names
from trireme.lifecycle import conditions, message
from trireme.lifecycle.decision import Decision, PodDeletion
from trireme.lifecycle.observe import Observed, other_agent
from trireme.lifecycle.pod import Pod
from trireme.lifecycle.policies import budget, deadline, inplace, placement, restart
from trireme.lifecycle.rootcause import sentence
from trireme.lifecycle.saying import say
from trireme.plan.kueue import queue_of
from trireme.plan.plan import Plan
from trireme.spec.model import RestartScope
from trireme.spec.status import Failure, JobStatus

PENDING = "Pending"
ENOUGH = "EnoughPodsRun"
"""Reason of Running=True where an elastic job goes on without all its pods."""
SLOW_START_SECONDS = 30.0
"""A placed pod that has not started for so long is worth a word: an image is big, or a volume cannot be mounted."""


def begin_again(
    plan: Plan, observed: Observed, status: JobStatus, failure: Failure, action: restart.Action, now: datetime
) -> Decision:
    """Write-ahead: the attempt is counted before any pod is touched for it (docs/adr/0013), or any process (0019). An
    elastic job goes on meanwhile with those that run, if they are enough."""
    said, counted = plan.job.spec.restart, action is restart.Action.RETRY
    reason = budget.reason(status, said, now, counted=counted)
    status = status.model_copy(
        update={
            "failure": failure,
            "attempt": status.attempt + 1,
            "restarts": status.restarts + counted,
            "restarts_spent": budget.spent(status, said, now) + counted,
            "disruptions": status.disruptions + (not counted),
        }
    )
    text = _why(plan, observed, status, failure, reason)
    stopped = (conditions.RUNNING, False, conditions.RESTARTING)
    begins = (conditions.RESTARTING, True, reason)
    generation = plan.job.generation
    if goes_on(plan, observed):
        text = f"{elastic_pods(plan, observed)}; {text}"
        enough = (conditions.RUNNING, True, ENOUGH)
        told = say(status, generation, now, conditions.RUNNING, text, enough, begins=begins)
    else:
        told = say(status, generation, now, conditions.RESTARTING, text, stopped, begins=begins)
    return Decision(told, ahead=True, poll_coordinator=coordinator(observed))


def goes_on(plan: Plan, observed: Observed) -> bool:
    """Whether an elastic job trains though pods are missing."""
    up = sum(not pod.deleting for pod in observed.running) + len(observed.succeeded)
    return plan.job.spec.elastic is not None and up >= plan.minimum


def elastic_pods(plan: Plan, observed: Observed) -> str:
    return message.running(observed, len(plan.pods), limits(plan))


def limits(plan: Plan) -> tuple[int, int] | None:
    """Of an elastic job."""
    elastic = plan.job.spec.elastic
    return (elastic.min_replicas, elastic.max_replicas) if elastic else None


def assembled(plan: Plan, observed: Observed, status: JobStatus) -> bool:
    """Whether all pods run, or did, that are to run in this attempt."""
    if status.start_time is not None and not conditions.is_true(status, conditions.RESTARTING):
        return True
    if inplace.under_way(observed, status):
        return False
    up = len(observed.running) + len(observed.succeeded)
    if plan.job.spec.elastic is None:
        return up == len(plan.pods) and not _outdated(plan, observed, status)
    going = (*observed.failed, *observed.deleting)  # what is counted already must be gone before the next is judged
    return up >= plan.minimum and not going and not _outdated(plan, observed, status)


def assemble(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    given_back = placement.pause_left(status, plan, now)
    if given_back:
        return Decision(status, delete=deletions(observed.ours), look_again_seconds=given_back)
    pause = budget.pause_left(status, plan.job.spec.restart, now)
    slow = [pod for pod in observed.starting if pod.node and now.timestamp() - pod.created_at >= SLOW_START_SECONDS]
    said = _told(plan, observed, status, now, slow)
    patience = placement.patience_left(plan, observed, said, now)
    if patience is not None and patience <= 0:
        return _give_back(plan, observed, status, now)
    if pause or observed.unavailable:  # or the plan lacks what the pods are to have: nothing is made, nothing replaced
        return Decision(said, poll_coordinator=coordinator(observed), look_again_seconds=pause or None)
    return Decision(
        said,
        delete=deletions((*_outdated(plan, observed, status), *observed.surplus)),
        create=observed.absent,
        renew=bool(slow),
        poll_coordinator=coordinator(observed) if status.start_time is not None else "",
        look_again_seconds=soonest(
            SLOW_START_SECONDS if observed.starting and not slow else None,
            patience,
            deadline.pending_left(plan.job.spec, said, now),
        ),
    )


def coordinator(observed: Observed) -> str:
    """The IP address of its pod; empty while that does not run."""
    return next((pod.ip for pod in observed.running if (pod.role, pod.index) == (names.ROLE_WORKER, 0)), "")


def deletions(pods: Iterable[Pod]) -> tuple[PodDeletion, ...]:
    return tuple(PodDeletion(pod.name, pod.uid) for pod in pods if not pod.deleting)


def soonest(*seconds: float | None) -> float | None:
    return min((max(0.0, each) for each in seconds if each is not None), default=None)


def _told(plan: Plan, observed: Observed, status: JobStatus, now: datetime, slow: list[Pod]) -> JobStatus:
    placed = observed.unplaced == 0
    scheduled = (conditions.SCHEDULED, placed, "AllPodsPlaced" if placed else message.unplaced_reason(observed))
    reason = message.pending_reason(observed)
    queue = queue_of(plan.job.spec.scheduling)
    again = conditions.find(status, conditions.RESTARTING)
    if again is not None and again.status == "True" and status.failure is not None:
        phase, why = conditions.RESTARTING, _why(plan, observed, status, status.failure, again.reason)
        text = message.restarting(why, observed, len(plan.pods), queue)
        reason = conditions.RESTARTING if reason == message.PODS_PENDING else reason
        if goes_on(plan, observed):
            text, enough = f"{elastic_pods(plan, observed)}; {why}", (conditions.RUNNING, True, ENOUGH)
            return say(status, plan.job.generation, now, conditions.RUNNING, text, enough)
    else:
        phase = PENDING
        text = message.pending(observed, len(plan.pods), queue, slow)
    generation, running = plan.job.generation, (conditions.RUNNING, False, reason)
    before = conditions.find(status, conditions.SCHEDULED)
    if before is not None and before.reason == placement.GIVEN_BACK:  # the next try has a time of its own
        return say(status, generation, now, phase, text, running, begins=scheduled)
    return say(status, generation, now, phase, text, scheduled, running)


def _why(plan: Plan, observed: Observed, status: JobStatus, failure: Failure, reason: str) -> str:
    """`Restarting 1/3: worker-2, rank 5: ended by SIGKILL`. `reason`: of condition Restarting."""
    said, spent = plan.job.spec.restart, status.restarts_spent
    counted = reason in (budget.COUNTED, budget.BACK_OFF)
    which = f"{spent}/{max(said.limit, spent)}" if counted else "after a disruption"
    pause = budget.pause(reason, spent, said)
    when = f", after a pause of {pause:.0f}s" if pause else ""
    here = f"; {inplace.IN_ITS_POD}" if inplace.stays(observed, status) else ""
    return f"{conditions.RESTARTING} {which}{when}: {sentence(failure)}{here}"


def _outdated(plan: Plan, observed: Observed, status: JobStatus) -> tuple[Pod, ...]:
    """Our pods that another is to take the place of: of another plan, or of an attempt that has failed."""
    outdated = {pod.uid for pod in observed.stale}
    if conditions.is_true(status, conditions.RESTARTING):
        everybody = plan.job.spec.restart.scope is RestartScope.ALL
        former = [pod for pod in observed.ours if pod.attempt < status.attempt]
        ended = {pod.uid for pod in observed.ended}
        outdated |= {pod.uid for pod in former if everybody or pod.uid in ended or other_agent(plan, pod)}
    elif observed.absent:
        outdated |= {pod.uid for pod in observed.ours if other_agent(plan, pod)}
    return tuple(pod for pod in observed.ours if pod.uid in outdated)


def _give_back(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Decision:
    """Written before the first pod goes: none of them has failed."""
    phase, held = status.phase or PENDING, len(placement.holding(observed))
    why, words = "had nodes and the others found none", ""
    if observed.refused is not None and placement.refused(observed):
        why, words = "were there and the API server refused the others", f": {observed.refused.words}"
    pause = placement.pause(status, plan.job.uid, now)
    text = f"{phase}: {held}/{len(plan.pods)} pods {why}: given back, next try after {pause:.0f}s{words}"
    stopped = (conditions.RUNNING, False, placement.GIVEN_BACK)
    begins = (conditions.SCHEDULED, False, placement.GIVEN_BACK)
    return Decision(say(status, plan.job.generation, now, phase, text, stopped, begins=begins), ahead=True)
