"""What the API server checks beyond structure and limits, in CEL: `parse` refuses the same, and looks into templates.

A rule stands at the deepest place that holds all it speaks of. What is asked of `spec` or below is not asked again
while that stays as it is (Kubernetes calls it ratcheting): the status can be written of a job that was stored before
there was a rule against it. Only what needs the status or the name stands at the root. Defaults are there by then;
but the API server holds a block's own default, {}, against the block's rules too: those that need two of the defaults
below stand higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic.alias_generators import to_camel

from trireme.contract import names
from trireme.spec import elastic, roles, scheduling
from trireme.spec.model import JobSpec, Server, Strategy
from trireme.spec.parse import HOROVOD_ALONE, HOROVOD_ONLY
from trireme.spec.structural import Schema

IMMUTABLE = "field is immutable"
"""In the words of the API server's own kinds."""

Rule = Mapping[str, str]
"""An entry of x-kubernetes-validations."""

_NOT_STARTED = "!has(oldSelf.status) || !has(oldSelf.status.startTime)"
_NO_SERVERS = f"self.strategy != '{Strategy.PARAMETER_SERVER.value}'"


def add(schema: Schema) -> None:
    """To the schema of a whole TrainingJob, in place."""
    spec = schema["properties"]["spec"]
    _put(schema, *_of_the_job())
    _put(spec, *_between_blocks(), _rule(_unchanged("checkpoint"), IMMUTABLE, ".checkpoint"))
    blocks = spec["properties"]
    for field in ("strategy", "allReduce", "parameterServer", "network", "managedBy"):
        _put(blocks[field], _rule("self == oldSelf", IMMUTABLE))
    for field in ("replicas", "colocated"):
        _put(blocks["server"]["properties"][field], _rule("self == oldSelf", IMMUTABLE))
    _put(blocks["worker"], _rule(_unchanged("processesPerReplica"), IMMUTABLE, ".processesPerReplica"))
    _put(blocks["allReduce"], *(_horovod(to_camel(field)) for field in HOROVOD_ONLY))
    _put(
        blocks["parameterServer"],
        _rule("!has(self.staleness) || self.consistency == 'Bounded'", roles.BOUNDED_ONLY, ".staleness"),
    )
    _put(
        blocks["scheduling"],
        _rule("!has(self.queue) || !(self.gang in ['Native', 'Coscheduling'])", scheduling.QUEUE_IS_A_GANG, ".queue"),
    )


def _of_the_job() -> tuple[Rule, ...]:
    return (
        _rule(
            f"size(self.metadata.name) <= {names.JOB_NAME_MAX} && !self.metadata.name.contains('.')",
            f"metadata.name must be at most {names.JOB_NAME_MAX} characters without a dot: "
            f"it begins the hostnames of the pods, which may have {names.LABEL_MAX}",
        ),
        _rule(
            f"self.spec.worker.replicas == oldSelf.spec.worker.replicas || has(self.spec.elastic) || {_NOT_STARTED}",
            "replicas cannot change after the job has started, unless it is elastic (spec.elastic)",
            ".spec.worker.replicas",
        ),
        _rule(
            f"{_unchanged('spec.elastic')} || {_NOT_STARTED}",
            "elastic cannot change after the job has started",
            ".spec.elastic",
        ),
        _rule(
            f"self.spec.scheduling == oldSelf.spec.scheduling || {_NOT_STARTED}",
            "scheduling cannot change after the job has started",
            ".spec.scheduling",
        ),
    )


def _between_blocks() -> tuple[Rule, ...]:
    shards = "(self.server.colocated ? self.worker.replicas : self.server.replicas)"
    return (
        *(_belongs(field, strategy) for field, strategy in roles.BELONGS.items()),
        *_colocated(),
        _rule(
            f"{_NO_SERVERS} || self.parameterServer.backups < {shards}",
            "must be less than the number of shards: server.replicas, or worker.replicas when they are colocated",
            ".parameterServer.backups",
        ),
        _elastic(
            "self.worker.replicas >= self.elastic.minReplicas",
            "replicas must be at least elastic.minReplicas",
            ".worker.replicas",
        ),
        _elastic(
            "self.worker.replicas <= self.elastic.maxReplicas",
            "replicas must be at most elastic.maxReplicas",
            ".worker.replicas",
        ),
        _elastic("self.restart.scope != 'All'", elastic.NOT_ALL, ".restart.scope"),
        _elastic(f"{_NO_SERVERS} || !self.server.colocated", elastic.NOT_COLOCATED, ".server.colocated"),
        _elastic(
            f"{_NO_SERVERS} || self.parameterServer.consistency != 'Sync'",
            elastic.NOT_SYNC,
            ".parameterServer.consistency",
        ),
        _elastic(
            "!has(self.scheduling.queue) || self.scheduling.gang == 'Volcano'", elastic.NO_QUEUE, ".scheduling.queue"
        ),
    )


def _belongs(field: str, strategy: Strategy) -> Rule:
    block = to_camel(field)
    left_out = " && ".join(_default(f"self.{block}.{name}", value) for name, value in _defaults(field))
    return _rule(
        f"self.strategy == '{strategy.value}' || ({left_out})",
        f"belongs to strategy {strategy.value}: leave it out with another",
        f".{block}",
    )


def _defaults(field: str) -> list[tuple[str, Any]]:
    """Name and default of every field of a block of the spec."""
    block = JobSpec.model_fields[field].default
    return [(info.alias or name, getattr(block, name)) for name, info in type(block).model_fields.items()]


def _default(path: str, value: Any) -> str:
    if value is None:
        return f"!has({path})"
    if isinstance(value, bool):
        return path if value else f"!{path}"
    return f"{path} == '{value.value}'" if isinstance(value, Enum) else f"{path} == {value}"


def _colocated() -> tuple[Rule, ...]:
    return (
        _rule(
            f"!self.server.colocated || self.server.replicas == {Server().replicas}",
            roles.NO_SERVERS,
            ".server.replicas",
        ),
        _rule("!self.server.colocated || !has(self.server.template)", roles.NO_SERVERS_TEMPLATE, ".server.template"),
    )


def _horovod(field: str) -> Rule:
    return _rule(f"self.backend == 'Horovod' || !has(self.{field})", HOROVOD_ALONE, f".{field}")


def _elastic(rule: str, message: str, path: str) -> Rule:
    return _rule(f"!has(self.elastic) || {rule}", message, path)


def _unchanged(path: str) -> str:
    """Of something that may be absent."""
    return f"has(self.{path}) == has(oldSelf.{path}) && (!has(self.{path}) || self.{path} == oldSelf.{path})"


def _rule(rule: str, message: str, path: str = "") -> Rule:
    return {"rule": rule, "message": message, **({"fieldPath": path} if path else {})}


def _put(schema: Schema, *rules: Rule) -> None:
    schema.setdefault("x-kubernetes-validations", []).extend(dict(rule) for rule in rules)
