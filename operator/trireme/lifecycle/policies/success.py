"""A job has succeeded when every worker pod has: no agent exits 0 before all ranks are done. Servers only follow.

Of an elastic job some pods may never have run. There worker 0, which goes last, speaks for all that did.
"""

from __future__ import annotations

from datetime import datetime

from trireme.contract import names
from trireme.lifecycle.observe import Observed
from trireme.plan.plan import Plan

LINGER_SECONDS = 10.0
"""For pods that end with worker 0. One that came when all was done finds no coordinator any more and need not."""


def succeeded(observed: Observed, plan: Plan, now: datetime) -> bool:
    workers = [pod for pod in observed.succeeded if pod.role == names.ROLE_WORKER]
    if plan.job.spec.elastic is None:
        return len(workers) == len(plan.of(names.ROLE_WORKER))
    last = next((pod for pod in workers if pod.index == 0), None)
    if last is None:
        return False
    at_work = any(pod.role == names.ROLE_WORKER for pod in observed.running + observed.deleting)
    ended = last.terminated.finished_at if last.terminated is not None else 0.0
    return not at_work or now.timestamp() - ended >= LINGER_SECONDS
