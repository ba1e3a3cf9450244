"""The ParameterServer strategy: workers hold the ranks, servers the parameters (docs/adr/0012)."""

from __future__ import annotations

from trireme.contract import environ
from trireme.plan.layout import servers, workers
from trireme.plan.plan import Layout
from trireme.spec.model import ConsistencyMode, TrainingJob
from trireme.spec.roles import STALENESS, shards


def layout(job: TrainingJob) -> Layout:
    colocated = job.spec.server.colocated
    pods = workers(job, shards=1) if colocated else (*workers(job), *servers(job))
    return Layout(pods, _terms(job))


def _terms(job: TrainingJob) -> tuple[tuple[str, str], ...]:
    said = job.spec.parameter_server
    staleness = STALENESS if said.staleness is None else said.staleness
    variables = (
        (environ.PS_SERVERS, shards(job.spec)),
        (environ.PS_CONSISTENCY, said.consistency.value),
        (environ.PS_STALENESS, staleness if said.consistency is ConsistencyMode.BOUNDED else 0),
        (environ.PS_BACKUPS, said.backups),
    )
    return tuple((name, str(value)) for name, value in variables)
