from __future__ import annotations

from typing import Any

import pytest
from trireme.pocket.apiserver.errors import ApiError
from trireme.pocket.apiserver.pods import bound

CONTAINER = {"name": "main", "image": "one:1"}


def spec(**changes: Any) -> dict[str, Any]:
    return {"containers": [dict(CONTAINER)], **changes}


def run_on(world: Any, node: str = "n1") -> None:
    """Binds the pod `a`, as a scheduler does."""
    store = world.operations.store
    pod = bound(store.get("pods", "default/a").value, {"target": {"name": node}}, world.operations.clock())
    store.put("pods", "default/a", pod)


def test_an_unbound_pod_goes_at_once(world: Any) -> None:
    world.create("pods", "a", spec=spec())
    world.delete("pods", "a")
    assert world.get("pods", "a") is None


def test_a_bound_pod_waits_for_its_kubelet(world: Any) -> None:
    world.create("pods", "a", spec=spec(terminationGracePeriodSeconds=60))
    run_on(world)
    world.delete("pods", "a")
    world.delete("pods", "a")
    metadata = world.get("pods", "a")["metadata"]
    assert (metadata["deletionTimestamp"], metadata["deletionGracePeriodSeconds"]) == ("2026-01-01T00:01:00Z", 60)
    assert metadata["generation"] == 2
    world.delete("pods", "a", grace=5)
    assert world.get("pods", "a")["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:05Z"
    world.delete("pods", "a", grace=0)
    assert world.get("pods", "a") is None


def test_a_finalizer_holds_a_pod_that_its_kubelet_let_go(world: Any) -> None:
    world.create("pods", "a", spec=spec(), metadata={"finalizers": ["test.dev/hold"]})
    run_on(world)
    world.delete("pods", "a", grace=0)
    metadata = world.get("pods", "a")["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 0
    world.patch("pods", "a", metadata={**metadata, "finalizers": []})
    assert world.get("pods", "a") is None


def test_a_pod_is_bound_once(world: Any) -> None:
    world.create("pods", "a", spec=spec())
    run_on(world)
    pod = world.get("pods", "a")
    assert pod["spec"]["nodeName"] == "n1"
    assert [condition["type"] for condition in pod["status"]["conditions"]] == ["PodScheduled"]
    with pytest.raises(ApiError, match="already assigned") as refusal:
        run_on(world, "n2")
    assert refusal.value.code == 409


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"containers": [{"name": "main", "image": "two:2"}]}, None),
        ({"activeDeadlineSeconds": 5}, None),
        ({"containers": [{**CONTAINER, "args": ["x"]}]}, "spec"),
        ({"restartPolicy": "Never"}, "spec"),
        ({"nodeSelector": {"a": "b"}}, "spec"),
        ({"containers": [dict(CONTAINER), {"name": "b", "image": "i"}]}, "spec"),
    ],
    ids=["image", "deadline", "args", "restart policy", "node selector", "more containers"],
)
def test_what_of_a_spec_may_change(world: Any, change: dict[str, Any], field: str | None) -> None:
    made = world.create("pods", "a", spec=spec())
    wanted = {**made["spec"], **change}
    if field is None:
        assert world.patch("pods", "a", spec=wanted)["metadata"]["generation"] == 2
        return
    with pytest.raises(ApiError) as refusal:
        world.patch("pods", "a", spec=wanted)
    assert [cause["field"] for cause in refusal.value.status["details"]["causes"]] == [field]


@pytest.mark.parametrize(
    ("bad", "causes"),
    [
        (spec(containers=[{"image": "i"}]), ["FieldValueRequired spec.containers[0].name"]),
        (spec(containers=[{"name": "A"}]), [
            "FieldValueInvalid spec.containers[0].name", "FieldValueRequired spec.containers[0].image"]),
        (spec(containers=[CONTAINER, CONTAINER]), ["FieldValueDuplicate spec.containers[1].name"]),
        (spec(restartPolicy="Sometimes"), ["FieldValueNotSupported spec.restartPolicy"]),
        (spec(terminationGracePeriodSeconds=-1), ["FieldValueInvalid spec.terminationGracePeriodSeconds"]),
        (spec(containers=[{**CONTAINER, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]),
         ["FieldValueNotFound spec.containers[0].volumeMounts[0].name"]),
        (spec(containers=[{**CONTAINER, "ports": [{"containerPort": 70000}]}]),
         ["FieldValueInvalid spec.containers[0].ports[0].containerPort"]),
        (spec(containers=[{**CONTAINER, "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]),
         ["FieldValueInvalid spec.containers[0].resources.requests"]),
        (spec(containers=[{**CONTAINER, "env": [{"name": ""}]}]),
         ["FieldValueRequired spec.containers[0].env[0].name"]),
    ],
    ids=["no name", "bad name, no image", "two of one name", "restart policy", "grace", "mount", "port", "cpu", "env"],
)  # fmt: skip
def test_bad_pods_are_refused_with_every_cause(world: Any, bad: dict[str, Any], causes: list[str]) -> None:
    with pytest.raises(ApiError) as refusal:
        world.create("pods", "a", spec=bad)
    told = [f"{cause['reason']} {cause['field']}" for cause in refusal.value.status["details"]["causes"]]
    assert (refusal.value.code, told) == (422, causes)


def test_a_service_account_and_a_priority_class_must_exist(world: Any) -> None:
    for wish in ({"serviceAccountName": "none"}, {"priorityClassName": "none"}):
        with pytest.raises(ApiError, match="none") as refusal:
            world.create("pods", "a", spec=spec(**wish))
        assert refusal.value.code == 403
    world.create("priorityclasses", "high", value=7)
    assert world.create("pods", "a", spec=spec(priorityClassName="high"))["spec"]["priority"] == 7
