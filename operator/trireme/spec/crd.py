"""The CustomResourceDefinition of TrainingJob, generated from the models; manifests/crd.yaml is its text.

The API server knows structure, limits and rules (`rules`). It cannot look into the pod templates (a whole one would
make the CRD too big for `kubectl apply`), so a change of a template, the servers' too, is not refused here: until the
job has started the operator replaces pods of another plan, afterwards the change waits for a restart, and the status
says so.
"""

from __future__ import annotations

from typing import Any

from trireme.contract import names
from trireme.spec import rules
from trireme.spec.model import JobSpec
from trireme.spec.status import JobStatus
from trireme.spec.structural import Schema, structural

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
    schema: Schema = {
        "description": "A distributed training job.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(JobSpec),
            "status": _status(),
        },
    }
    rules.add(schema)
    return schema


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
