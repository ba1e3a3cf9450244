"""Which strategy takes which fields, and what its roles need of one another."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic.alias_generators import to_camel

from trireme.spec.errors import FieldError
from trireme.spec.model import ConsistencyMode, JobSpec, Server, Strategy

STALENESS = 4
"""Steps; of a bounded job that does not say."""
BELONGS = {
    "all_reduce": Strategy.ALL_REDUCE,
    "server": Strategy.PARAMETER_SERVER,
    "parameter_server": Strategy.PARAMETER_SERVER,
}
"""Blocks of one strategy; another's job has them as they are by default."""
NO_SERVERS = "cannot be set with colocated: each worker pod carries one shard"
NO_SERVERS_TEMPLATE = "cannot be set with colocated: the shards run in the worker pods"
BOUNDED_ONLY = "works with consistency Bounded only"


def check(spec: JobSpec) -> Iterator[FieldError]:
    for field, strategy in BELONGS.items():
        default = type(spec).model_fields[field].default
        if strategy is not spec.strategy and getattr(spec, field) != default:
            yield FieldError(
                f"spec.{to_camel(field)}", f"belongs to strategy {strategy.value}, and this is {spec.strategy.value}"
            )
    if spec.server.colocated and spec.server.replicas != Server().replicas:
        yield FieldError("spec.server.replicas", NO_SERVERS)
    if spec.server.colocated and spec.server.template is not None:
        yield FieldError("spec.server.template", NO_SERVERS_TEMPLATE)
    said = spec.parameter_server
    if said.staleness is not None and said.consistency is not ConsistencyMode.BOUNDED:
        yield FieldError("spec.parameterServer.staleness", f"{BOUNDED_ONLY}, and this is {said.consistency.value}")
    count = shards(spec)
    if count and said.backups >= count:
        what = "1 shard" if count == 1 else f"{count} shards"
        yield FieldError(
            "spec.parameterServer.backups", f"must be less than the number of shards, got {said.backups} of {what}"
        )


def shards(spec: JobSpec) -> int:
    """Processes that hold the parameters; 0 without a parameter server."""
    if spec.strategy is not Strategy.PARAMETER_SERVER:
        return 0
    return spec.worker.replicas if spec.server.colocated else spec.server.replicas
