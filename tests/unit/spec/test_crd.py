"""The CRD: what an API server makes of it, asked of the pocket's schema engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.jobs import VALID, job, with_value
from support.stored import SCHEMA, VERSION, causes, stored
from trireme.pocket.objects.schema import check_definition
from trireme.spec.crd import crd
from trireme.spec.model import JobSpec
from trireme.spec.parse import parse
from trireme.spec.status import JobStatus, Progress


def keywords(node: Any) -> set[str]:
    """Schema keywords in use; names of properties are not among them."""
    found = set(node)
    below = [*node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")]
    return found.union(*(keywords(child) for child in below if isinstance(child, dict)))


def test_it_is_a_structural_schema_within_the_cost_budget() -> None:
    assert check_definition(crd()) == []
    assert keywords(SCHEMA).isdisjoint({"$ref", "$defs", "anyOf", "title", "readOnly", "nullable"})


def test_it_fits_into_an_annotation() -> None:
    assert len(json.dumps(crd())) < 32 * 1024


def test_what_kubectl_prints() -> None:
    assert [(c["name"], c["jsonPath"], c.get("priority", 0)) for c in VERSION["additionalPrinterColumns"]] == [
        ("Phase", ".status.phase", 0),
        ("Workers", ".status.workersReady", 0),
        ("Progress", ".status.progress.display", 0),
        ("Restarts", ".status.restarts", 0),
        ("Age", ".metadata.creationTimestamp", 0),
        ("Message", ".status.message", 1),
    ]


def test_scale_and_status() -> None:
    assert VERSION["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.worker.replicas",
            "statusReplicasPath": ".status.workers.active",
            "labelSelectorPath": ".status.selector",
        },
    }


def test_defaults_are_the_models() -> None:
    kept = stored(VALID)
    assert kept["spec"]["allReduce"] == {"backend": "Horovod"}
    assert kept["spec"]["cleanup"] == {"pods": "Running"}
    assert kept["spec"]["network"] == {"policy": "JobOnly"}
    assert kept["spec"]["scheduling"] == {"gang": "Auto"}
    assert (kept["spec"]["suspend"], kept["spec"]["managedBy"]) == (False, "trireme.dev/operator")
    assert parse(kept) == parse(VALID)


def test_a_whole_status_is_accepted_as_it_is() -> None:
    status = JobStatus.model_validate(
        {
            "phase": "Failed",
            "startTime": "2026-01-01T00:00:00Z",
            "conditions": [
                {"type": "Failed", "status": "True", "reason": "Error", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            ],
            "progress": {"step": 9, "totalSteps": 20, "percent": 45, "metrics": {"loss": 0.5}},
            "failure": {"role": "worker", "index": 1, "pod": "p", "reason": "Error", "message": "m", "logTail": ["l"]},
        }
    )
    obj = {**VALID, "status": status.model_dump(mode="json", by_alias=True, exclude_none=True)}
    assert obj["status"]["progress"]["display"] == "45%"
    assert causes(obj) == []
    assert JobStatus.model_validate(obj["status"]) == status


@pytest.mark.parametrize(
    ("progress", "display"),
    [(Progress(step=9, totalSteps=20, percent=45), "45%"), (Progress(step=9), "step 9")],
    ids=["percent", "step"],
)
def test_progress_as_it_is_printed(progress: Progress, display: str) -> None:
    assert progress.display == display


def test_limits_are_the_models() -> None:
    obj = with_value(job("spec", "worker", "replicas", value=0), "spec", "allReduce", value={"backend": "MPI"})
    assert {field for field, _ in causes(obj)} >= {"spec.worker.replicas", "spec.allReduce.backend"}


def test_every_field_of_the_model_is_there() -> None:
    spec = SCHEMA["properties"]["spec"]["properties"]
    assert list(spec) == [field.alias for field in JobSpec.model_fields.values()]
