"""The CustomResourceDefinition of TrainingJob, generated from the models; manifests/crd.yaml is its text.

The API server knows structure, limits and these rules. It cannot look into the pod template (a whole one would make the
CRD too big for `kubectl apply`), so a change of a template, the servers' too, is not refused here: until the job has
started the operator replaces pods of another plan, afterwards the change waits for a restart, and the status says so.
"""

from __future__ import annotations

from typing import Any

from pydantic.alias_generators import to_camel

from trireme.contract import names
from trireme.spec.model import JobSpec
from trireme.spec.parse import HOROVOD_ONLY
from trireme.spec.status import JobStatus
from trireme.spec.structural import Schema, structural

IMMUTABLE = "field is immutable"
"""In the words of the API server's own kinds."""

_HOROVOD_FIELDS = " || ".join(f"has(self.{to_camel(field)})" for field in HOROVOD_ONLY)

_NOT_STARTED = "!has(oldSelf.status) || !has(oldSelf.status.startTime)"

_COLUMNS: tuple[dict[str, Any], ...] = (
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "Workers", "type": "string", "jsonPath": ".status.workersReady", "description": "ready/desired"},
    {"name": "Progress", "type": "string", "jsonPath": ".status.progress.display"},
    {"name": "Restarts", "type": "integer", "jsonPath": ".status.restarts"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Message", "type": "string", "jsonPath": ".status.message", "priority": 1},
)

_UNSEEN = {"phase": "Pending", "message": "Pending: no operator has seen it yet"}
"""The status of a job without one: it says so before an operator does, and costs no write. What an operator wrote has
an observedGeneration."""


def crd() -> dict[str, Any]:
    """apiextensions.k8s.io/v1, one version."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.PLURAL}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": [names.SHORT_NAME],
                "categories": [names.CATEGORY],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": list(_COLUMNS),
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.worker.replicas",
                            "statusReplicasPath": ".status.workers.active",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }


def _schema() -> Schema:
    return {
        "description": "A distributed training job.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _spec(),
            "status": _status(),
        },
        "x-kubernetes-validations": [
            {
                "rule": f"size(self.metadata.name) <= {names.JOB_NAME_MAX} && !self.metadata.name.contains('.')",
                "message": f"metadata.name must be at most {names.JOB_NAME_MAX} characters without a dot: "
                f"it begins the hostnames of the pods, which may have {names.LABEL_MAX}",
            },
            {
                "rule": "self.spec.worker.replicas == oldSelf.spec.worker.replicas || has(self.spec.elastic)"
                f" || {_NOT_STARTED}",
                "message": "replicas cannot change after the job has started, unless it is elastic (spec.elastic)",
                "fieldPath": ".spec.worker.replicas",
            },
            {
                "rule": "!has(self.spec.elastic) || self.spec.worker.replicas >= self.spec.elastic.minReplicas",
                "message": "replicas must be at least elastic.minReplicas",
                "fieldPath": ".spec.worker.replicas",
            },
            {
                "rule": "!has(self.spec.elastic) || self.spec.worker.replicas <= self.spec.elastic.maxReplicas",
                "message": "replicas must be at most elastic.maxReplicas",
                "fieldPath": ".spec.worker.replicas",
            },
            {
                "rule": "has(self.spec.elastic) == has(oldSelf.spec.elastic)"
                " && (!has(self.spec.elastic) || self.spec.elastic == oldSelf.spec.elastic)"
                f" || {_NOT_STARTED}",
                "message": "elastic cannot change after the job has started",
                "fieldPath": ".spec.elastic",
            },
            {
                "rule": "self.spec.scheduling == oldSelf.spec.scheduling"
                " || !has(oldSelf.status) || !has(oldSelf.status.startTime)",
                "message": "scheduling cannot change after the job has started",
                "fieldPath": ".spec.scheduling",
            },
        ],
    }


def _spec() -> Schema:
    spec = structural(JobSpec)
    properties = spec["properties"]
    _add_rule(properties["strategy"], "self == oldSelf", IMMUTABLE)
    _add_rule(properties["allReduce"], "self == oldSelf", IMMUTABLE)
    for field in ("replicas", "colocated"):
        _add_rule(properties["server"]["properties"][field], "self == oldSelf", IMMUTABLE)
    _add_rule(properties["parameterServer"], "self == oldSelf", IMMUTABLE)
    _add_rule(
        properties["parameterServer"],
        "!has(self.staleness) || self.consistency == 'Bounded'",
        "staleness works with consistency Bounded only",
    )
    _add_rule(properties["network"], "self == oldSelf", IMMUTABLE)
    _add_rule(properties["managedBy"], "self == oldSelf", IMMUTABLE)
    _add_rule(
        spec,
        "has(self.checkpoint) == has(oldSelf.checkpoint)"
        " && (!has(self.checkpoint) || self.checkpoint == oldSelf.checkpoint)",
        IMMUTABLE,
        fieldPath=".checkpoint",
    )
    _add_rule(
        properties["scheduling"],
        "!has(self.queue) || !(self.gang in ['Native', 'Coscheduling'])",
        "with a queue of Kueue leave gang out, it admits all pods at once",
    )
    _add_rule(
        properties["allReduce"],
        f"self.backend == 'Horovod' || !({_HOROVOD_FIELDS})",
        f"{', '.join(map(to_camel, HOROVOD_ONLY))} work with backend Horovod only",
    )
    _add_rule(
        properties["worker"],
        "has(self.processesPerReplica) == has(oldSelf.processesPerReplica)"
        " && (!has(self.processesPerReplica) || self.processesPerReplica == oldSelf.processesPerReplica)",
        IMMUTABLE,
        fieldPath=".processesPerReplica",
    )
    return spec


def _add_rule(schema: Schema, rule: str, message: str, **more: str) -> None:
    schema.setdefault("x-kubernetes-validations", []).append({"rule": rule, "message": message, **more})


def _status() -> Schema:
    status = structural(JobStatus, "serialization")
    conditions = status["properties"]["conditions"]
    conditions["x-kubernetes-list-type"] = "map"
    conditions["x-kubernetes-list-map-keys"] = ["type"]
    return {**_without_defaults(status), "default": dict(_UNSEEN)}


def _without_defaults(schema: Schema) -> Schema:
    """The operator writes status as a whole; the API server has nothing to add to what it wrote."""
    schema.pop("default", None)
    for below in (*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])):
        _without_defaults(below)
    return schema
