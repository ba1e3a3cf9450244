"""The limits of an elastic job, and what else must be true of one (docs/adr/0017)."""

from __future__ import annotations

from collections.abc import Iterator

from trireme.spec.errors import FieldError
from trireme.spec.model import ConsistencyMode, Gang, JobSpec, RestartScope, Strategy

NOT_ALL = "an elastic job needs Failed: it goes on with the pods that run, and All restarts every pod"
NOT_COLOCATED = "an elastic job needs servers of their own: shards in worker pods would come and go with them"
NOT_SYNC = "an elastic job needs Bounded or Async: Sync waits for the push of every worker"
NO_QUEUE = "leave it out of an elastic job, or use gang Volcano: Kueue admits a fixed number of pods at once"


def least(spec: JobSpec) -> int:
    """Workers with which the job runs."""
    return spec.elastic.min_replicas if spec.elastic else spec.worker.replicas


def most(spec: JobSpec) -> int:
    """Workers that there may ever be."""
    return spec.elastic.max_replicas if spec.elastic else spec.worker.replicas


def check(spec: JobSpec) -> Iterator[FieldError]:
    if spec.elastic is None:
        return
    wanted, lower, upper = spec.worker.replicas, spec.elastic.min_replicas, spec.elastic.max_replicas
    if lower > wanted:
        yield FieldError("spec.elastic.minReplicas", f"must be at most worker.replicas, got {lower} of {wanted}")
    if upper < wanted:
        yield FieldError("spec.elastic.maxReplicas", f"must be at least worker.replicas, got {upper} of {wanted}")
    if spec.restart.scope is RestartScope.ALL:
        yield FieldError("spec.restart.scope", NOT_ALL)
    if spec.strategy is Strategy.PARAMETER_SERVER:
        if spec.server.colocated:
            yield FieldError("spec.server.colocated", NOT_COLOCATED)
        if spec.parameter_server.consistency is ConsistencyMode.SYNC:
            yield FieldError("spec.parameterServer.consistency", NOT_SYNC)
    if spec.scheduling.queue and spec.scheduling.gang is not Gang.VOLCANO:
        yield FieldError("spec.scheduling.queue", NO_QUEUE)
