from __future__ import annotations

import copy
from typing import Any

import pytest
from cluster.widgets import DEFINITION, GROUP
from trireme.pocket.apiserver.errors import ApiError


def define(world: Any, **changes: Any) -> dict[str, Any]:
    spec = copy.deepcopy(DEFINITION["spec"]) | changes
    return world.create("customresourcedefinitions", f"widgets.{GROUP}", spec=spec)


def version(name: str, **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DEFINITION["spec"]["versions"][0]), "name": name, **changes}


def test_a_definition_serves_its_kind_until_it_goes_with_its_objects(world: Any) -> None:
    define(world)
    world.create("widgets", "a", spec={"mode": "Fast"})
    world.delete("customresourcedefinitions", f"widgets.{GROUP}")
    assert world.operations.registry.versions(GROUP) == []
    assert world.operations.store.records(f"widgets.{GROUP}") == []


def test_each_version_shows_the_one_stored_object(world: Any) -> None:
    define(world, versions=[version("v1"), version("v1beta1", storage=False)])
    assert world.operations.registry.versions(GROUP) == ["v1", "v1beta1"]
    old, new = (world.operations.registry.find(GROUP, name, "widgets") for name in ("v1beta1", "v1"))
    stored = world.create("widgets", "a", spec={"mode": "Fast"})
    assert (old.resource, stored["apiVersion"]) == (new.resource, f"{GROUP}/v1")
    assert old.shown(stored)["apiVersion"] == f"{GROUP}/v1beta1"


async def test_a_watch_of_a_kind_ends_with_its_definition(world: Any) -> None:
    define(world)
    watch = world.operations.store.watch(f"widgets.{GROUP}")
    world.delete("customresourcedefinitions", f"widgets.{GROUP}")
    assert watch.closed


def test_a_changed_definition_takes_effect_at_once(world: Any) -> None:
    made = define(world)
    spec = copy.deepcopy(made["spec"])
    spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["mode"]["enum"] = ["Odd"]
    world.patch("customresourcedefinitions", f"widgets.{GROUP}", spec=spec)
    assert world.create("widgets", "a", spec={"mode": "Odd"})["spec"]["mode"] == "Odd"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"group": "other.dev"}, "metadata.name", id="another group than the name says"),
        pytest.param({"scope": "Galaxy"}, "spec.scope", id="unknown scope"),
        pytest.param({"conversion": {"strategy": "Webhook"}}, "spec.conversion.strategy", id="a webhook"),
        pytest.param({"versions": [version("v1", storage=False)]}, "spec.versions", id="nothing stored"),
        pytest.param(
            {"versions": [version("v1", schema={})]}, "spec.versions[0].schema.openAPIV3Schema", id="no schema"
        ),
    ],
)
def test_bad_definitions_are_refused(world: Any, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiError) as refusal:
        define(world, **changes)
    assert field in [cause["field"] for cause in refusal.value.status["details"]["causes"]]


def test_a_write_that_changes_nothing_is_none(world: Any) -> None:
    made = world.create("configmaps", "a", data={"k": "v"})
    assert world.patch("configmaps", "a", data={"k": "v"}) is made


def test_what_the_server_owns_stays_as_it_is(world: Any) -> None:
    made = world.create("configmaps", "a")
    stolen = {**made["metadata"], "creationTimestamp": "1999-01-01T00:00:00Z", "generation": 7}
    metadata = world.patch("configmaps", "a", metadata=stolen, data={"k": "v"})["metadata"]
    assert metadata["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    assert "generation" not in metadata


@pytest.mark.parametrize(
    ("metadata", "code"),
    [({"name": "b"}, 400), ({"namespace": "other"}, 400), ({"uid": "other"}, 409), ({"resourceVersion": "1"}, 409)],
    ids=["name", "namespace", "uid", "version"],
)
def test_identity_cannot_be_patched(world: Any, metadata: dict[str, str], code: int) -> None:
    made = world.create("configmaps", "a")
    with pytest.raises(ApiError) as refusal:
        world.patch("configmaps", "a", metadata=made["metadata"] | metadata)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"labels": {"a b": "x"}}, "metadata.labels"),
        ({"labels": {"a": "x y"}}, "metadata.labels"),
        ({"annotations": {"a": "x" * 300_000}}, "metadata.annotations"),
        ({"finalizers": ["no slash allowed!"]}, "metadata.finalizers[0]"),
        ({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}, "metadata.ownerReferences[0].uid"),
    ],
    ids=["label key", "label value", "annotations' size", "finalizer", "owner without uid"],
)
def test_bad_metadata_is_refused(world: Any, metadata: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiError) as refusal:
        world.create("configmaps", "a", metadata=metadata)
    assert [cause["field"] for cause in refusal.value.status["details"]["causes"]] == [field]


def test_metadata_of_custom_objects_is_typed(world: Any) -> None:
    define(world)
    with pytest.raises(ApiError, match=r"metadata\.labels\.a of type string") as refusal:
        world.create("widgets", "a", metadata={"labels": {"a": 1}}, spec={"mode": "Fast"})
    assert refusal.value.code == 400


def test_nothing_is_created_in_a_namespace_that_goes(world: Any) -> None:
    world.create("configmaps", "held", metadata={"finalizers": ["test.dev/hold"]})
    world.delete("namespaces", "default")
    with pytest.raises(ApiError, match="being terminated") as refusal:
        world.create("configmaps", "late")
    assert refusal.value.code == 403
    world.patch("configmaps", "held", metadata={**world.get("configmaps", "held")["metadata"], "finalizers": []})
    assert world.get("namespaces", "default") is None


def test_one_event_has_two_views(world: Any) -> None:
    registry = world.operations.registry
    core, new = registry.find("", "v1", "events"), registry.find("events.k8s.io", "v1", "events")
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    stored = world.create("events", "e", involvedObject=about, message="hello", reason="Said", type="Normal")
    shown = new.shown(stored)
    assert core.resource == new.resource
    assert (shown["note"], shown["regarding"], shown["apiVersion"]) == ("hello", about, "events.k8s.io/v1")
    assert new.to_stored(shown) == {"source": {}, **stored}
