"""Whether processes that failed are started again in their pod, and what the coordinator is told of it (docs/adr/0019).

A pod whose process failed lives on and waits; the coordinator reports it as held. The failure is judged by the same
table as that of a pod that ended, and counted ahead in the same way. Whatever is not to be tried again, or not in this
pod, is let go: the pod ends by its failure and is judged then.
"""

from __future__ import annotations

from datetime import datetime

from trireme.contract import wire
from trireme.contract.wire import Held, News, Phase, Ruling
from trireme.lifecycle import conditions
from trireme.lifecycle.observe import Observed, other_agent
from trireme.lifecycle.pod import Pod
from trireme.lifecycle.policies import budget, restart
from trireme.lifecycle.rootcause import reported
from trireme.plan.kueue import queue_of
from trireme.plan.plan import Plan
from trireme.spec.model import RestartScope
from trireme.spec.status import Failure, JobStatus

IN_ITS_POD = "its processes start again in its pod"


def uncounted(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Failure | None:
    """The failure that is to be counted now, because its pod may go on."""
    held = _held(observed)
    if held is None or _counted(held[1], status) or not _may_stay(plan, observed):
        return None
    cause, said = reported(wire.bounded(held[1].failure), held[0]), plan.job.spec.restart
    again = restart.action(cause, said.permanent_exit_codes) is restart.Action.RETRY
    return cause.failure if again and budget.spent(status, said, now) < said.limit else None


def ruling(plan: Plan, observed: Observed, status: JobStatus, now: datetime) -> Ruling | None:
    """On a failure that is counted already, or is not to be counted while its pod runs; from the status alone."""
    held = _held(observed)
    if held is None:
        return None
    pod, failed = held
    if not (_counted(failed, status) and _may_stay(plan, observed)):
        return Ruling(pod.uid, failed.attempt)
    return Ruling(pod.uid, failed.attempt, status.attempt, budget.pause_left(status, plan.job.spec.restart, now))


def stays(observed: Observed, status: JobStatus) -> bool:
    """Whether the pod that failed last runs on though an attempt was counted for it. A successor bears that attempt."""
    failed = status.failure.pod if status.failure is not None else None
    return any(pod.name == failed and pod.attempt < status.attempt for pod in observed.running)


def under_way(observed: Observed, status: JobStatus) -> bool:
    """Whether a restart in a pod has not ended, as far as is known: nothing but the coordinator tells. One that cannot
    be reached any more is believed to go on."""
    if observed.silent or not (conditions.is_true(status, conditions.RESTARTING) and stays(observed, status)):
        return False
    news = observed.report if isinstance(observed.report, News) else None
    if news is None or news.attempt < status.attempt or news.phase is Phase.FORMING:
        return True
    return news.waiting or bool(news.missing)


def _held(observed: Observed) -> tuple[Pod, Held] | None:
    """What the coordinator holds, when its pod runs; one that has ended speaks for itself."""
    held = observed.report.held if isinstance(observed.report, News) else None
    if held is None or observed.silent:  # its last word may be old by then
        return None
    return next(((pod, held) for pod in observed.running if pod.uid == held.incarnation), None)


def _counted(held: Held, status: JobStatus) -> bool:
    """By an attempt that has been written and has not begun."""
    return conditions.is_true(status, conditions.RESTARTING) and held.attempt < status.attempt


def _may_stay(plan: Plan, observed: Observed) -> bool:
    """Whether this restart replaces no pod for another reason: another spec, another agent, or a queue, which admits
    the pods of each attempt anew."""
    spec = plan.job.spec
    upgraded = any(other_agent(plan, pod) for pod in observed.running)
    queued = queue_of(spec.scheduling) is not None
    return spec.restart.scope is RestartScope.FAILED and not (upgraded or queued or observed.stale)
