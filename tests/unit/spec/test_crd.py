"""The CRD: what an API server makes of it, asked of the pocket's schema engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.jobs import VALID, job, parameter_server, with_value
from trireme.pocket.objects.schema import Structural, check_definition
from trireme.spec.crd import crd
from trireme.spec.model import JobSpec
from trireme.spec.parse import parse
from trireme.spec.status import JobStatus, Progress

VERSION = crd()["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


@pytest.fixture(scope="module")
def schema() -> Structural:
    return Structural(SCHEMA)


def stored(schema: Structural, obj: Any) -> Any:
    """As the API server would keep it."""
    kept = json.loads(json.dumps(obj))
    assert schema.prune(kept) == []
    schema.default(kept)
    return kept


def causes(schema: Structural, obj: Any, old: Any = None) -> list[tuple[str, str]]:
    return [
        (cause.field, cause.message.rpartition(": ")[2])
        for cause in schema.validate(stored(schema, obj), None if old is None else stored(schema, old))
    ]


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


def test_defaults_are_the_models(schema: Structural) -> None:
    kept = stored(schema, VALID)
    assert kept["spec"]["allReduce"] == {"backend": "Horovod"}
    assert kept["spec"]["cleanup"] == {"pods": "Running"}
    assert kept["spec"]["network"] == {"policy": "JobOnly"}
    assert kept["spec"]["scheduling"] == {"gang": "Auto"}
    assert (kept["spec"]["suspend"], kept["spec"]["managedBy"]) == (False, "trireme.dev/operator")
    assert parse(kept) == parse(VALID)


def test_a_whole_status_is_accepted_as_it_is(schema: Structural) -> None:
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
    assert causes(schema, obj) == []
    assert JobStatus.model_validate(obj["status"]) == status


@pytest.mark.parametrize(
    ("progress", "display"),
    [(Progress(step=9, totalSteps=20, percent=45), "45%"), (Progress(step=9), "step 9")],
    ids=["percent", "step"],
)
def test_progress_as_it_is_printed(progress: Progress, display: str) -> None:
    assert progress.display == display


STARTED = {"startTime": "2026-01-01T00:00:00Z"}


def elastic(replicas: int, **limits: int) -> Any:
    """A started job that may have 2 to 4 workers."""
    worker = {**VALID["spec"]["worker"], "replicas": replicas}
    said = {"minReplicas": 2, "maxReplicas": 4, **limits}
    return {**job("spec", value={"worker": worker, "elastic": said}), "status": STARTED}


NAME = (
    "<nil>",
    "it begins the hostnames of the pods, which may have 63",
)
HOROVOD = "timeoutSeconds, fusionThresholdBytes, cycleTimeMilliseconds, timelineFile work with backend Horovod only"

CREATED: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "the least job": (VALID, []),
    "name of 50": (job("metadata", "name", value="x" * 50), []),
    "name of 51": (job("metadata", "name", value="x" * 51), [NAME]),
    "name with a dot": (job("metadata", "name", value="a.b"), [NAME]),
    "a queue and a gang": (
        job("spec", "scheduling", value={"queue": "team", "gang": "Native"}),
        [("spec.scheduling", "with a queue of Kueue leave gang out, it admits all pods at once")],
    ),
    "Volcano's queue": (job("spec", "scheduling", value={"queue": "team", "gang": "Volcano"}), []),
    "Horovod's tuning": (job("spec", "allReduce", value={"timeoutSeconds": 5}), []),
    "Horovod's tuning for Torch": (
        job("spec", "allReduce", value={"backend": "Torch", "cycleTimeMilliseconds": 5}),
        [("spec.allReduce", HOROVOD)],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CREATED.values(), ids=CREATED.keys())
def test_rules_on_creation(schema: Structural, obj: Any, expected: list[tuple[str, str]]) -> None:
    assert causes(schema, obj) == expected


IMMUTABLE = "field is immutable"



def served(**server: Any) -> Any:
    """A parameter server's job that has started."""
    return {**parameter_server(server={"replicas": 2, **server}), "status": STARTED}


def image(name: str) -> Any:
    return {"spec": {"containers": [{"name": "trainer", "image": name}]}}


CHECKPOINTED = job("spec", "checkpoint", value={"directory": "/checkpoints"})

CHANGED: dict[str, tuple[Any, Any, list[tuple[str, str]]]] = {
    "nothing": (VALID, VALID, []),
    "cleanup": (VALID, job("spec", "cleanup", value={"pods": "All"}), []),
    "the template": (VALID, job("spec", "worker", "template", "metadata", value={"labels": {"a": "b"}}), []),
    "replicas before the start": (VALID, job("spec", "worker", "replicas", value=3), []),
    "replicas after the start": (
        {**VALID, "status": STARTED},
        {**job("spec", "worker", "replicas", value=3), "status": STARTED},
        [
            (
                "spec.worker.replicas",
                "replicas cannot change after the job has started, unless it is elastic (spec.elastic)",
            )
        ],
    ),
    "replicas of an elastic job": (elastic(2), elastic(4), []),
    "fewer than the minimum": (
        elastic(2),
        elastic(1),
        [("spec.worker.replicas", "replicas must be at least elastic.minReplicas")],
    ),
    "more than the maximum": (
        elastic(2),
        elastic(5),
        [("spec.worker.replicas", "replicas must be at most elastic.maxReplicas")],
    ),
    "limits after the start": (
        elastic(2),
        elastic(2, maxReplicas=8),
        [("spec.elastic", "elastic cannot change after the job has started")],
    ),
    "an elastic job that is none any more": (
        elastic(2),
        {**VALID, "status": STARTED},
        [("spec.elastic", "elastic cannot change after the job has started")],
    ),
    "a default that is spelt out": (VALID, job("spec", "allReduce", value={"backend": "Horovod"}), []),
    "the backend": (VALID, job("spec", "allReduce", value={"backend": "Torch"}), [("spec.allReduce", IMMUTABLE)]),
    "the servers' template": (served(template=image("a")), served(template=image("b")), []),
    "a template that the servers did not have": (served(), served(template=image("a")), []),
    "the number of servers": (served(), served(replicas=3), [("spec.server.replicas", IMMUTABLE)]),
    "where the shards are": (
        served(replicas=1),
        served(replicas=1, colocated=True),
        [("spec.server.colocated", IMMUTABLE)],
    ),
    "suspension": (VALID, job("spec", "suspend", value=True), []),
    "the queue before the start": (VALID, job("spec", "scheduling", value={"queue": "team"}), []),
    "the queue after the start": (
        {**VALID, "status": STARTED},
        {**job("spec", "scheduling", value={"queue": "team"}), "status": STARTED},
        [("spec.scheduling", "scheduling cannot change after the job has started")],
    ),
    "the controller": (VALID, job("spec", "managedBy", value="example.com/mine"), [("spec.managedBy", IMMUTABLE)]),
    "the network policy": (
        VALID,
        job("spec", "network", value={"policy": "None"}),
        [("spec.network", IMMUTABLE)],
    ),
    "a checkpoint that was not there": (VALID, CHECKPOINTED, [("spec.checkpoint", IMMUTABLE)]),
    "the checkpoint's directory": (
        CHECKPOINTED,
        job("spec", "checkpoint", value={"directory": "/others"}),
        [("spec.checkpoint", IMMUTABLE)],
    ),
    "the same checkpoint": (CHECKPOINTED, CHECKPOINTED, []),
    "processes that were not given": (
        VALID,
        job("spec", "worker", "processesPerReplica", value=2),
        [("spec.worker.processesPerReplica", IMMUTABLE)],
    ),
    "processes taken away": (
        job("spec", "worker", "processesPerReplica", value=2),
        VALID,
        [("spec.worker.processesPerReplica", IMMUTABLE)],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED.values(), ids=CHANGED.keys())
def test_rules_on_change(schema: Structural, old: Any, new: Any, expected: list[tuple[str, str]]) -> None:
    assert causes(schema, new, old) == expected


def test_limits_are_the_models(schema: Structural) -> None:
    obj = with_value(job("spec", "worker", "replicas", value=0), "spec", "allReduce", value={"backend": "MPI"})
    assert {field for field, _ in causes(schema, obj)} >= {"spec.worker.replicas", "spec.allReduce.backend"}


def test_every_field_of_the_model_is_there() -> None:
    spec = SCHEMA["properties"]["spec"]["properties"]
    assert list(spec) == [field.alias for field in JobSpec.model_fields.values()]
