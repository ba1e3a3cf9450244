"""A job has succeeded when every worker pod has: no agent exits 0 before all ranks are done. Servers only follow."""

from __future__ import annotations

from trireme.contract import names
from trireme.lifecycle.observe import Observed
from trireme.plan.plan import Plan


def succeeded(observed: Observed, plan: Plan) -> bool:
    workers = sum(pod.role == names.ROLE_WORKER for pod in observed.succeeded)
    return workers == len(plan.of(names.ROLE_WORKER))
