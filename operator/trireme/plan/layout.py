"""What the strategies' layouts have in common: pods by role and index."""

from __future__ import annotations

from trireme.contract import names
from trireme.plan.plan import PodPlan
from trireme.spec.model import TrainingJob
from trireme.spec.template import processes_per_replica


def workers(job: TrainingJob, *, shards: int = 0) -> tuple[PodPlan, ...]:
    """`shards`: of the parameter server in each of them."""
    role, slots = names.ROLE_WORKER, processes_per_replica(job)
    return tuple(
        PodPlan(role, index, slots, names.pod_name(job.name, role, index), shards)
        for index in range(job.spec.worker.replicas)
    )


def servers(job: TrainingJob) -> tuple[PodPlan, ...]:
    role = names.ROLE_SERVER
    return tuple(
        PodPlan(role, index, 0, names.pod_name(job.name, role, index), 1) for index in range(job.spec.server.replicas)
    )
