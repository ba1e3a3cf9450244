from __future__ import annotations

from typing import Any

import pytest


def owned_by(owner: dict[str, Any], block: bool = True, **changes: str) -> dict[str, Any]:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": block,
    }
    return {"ownerReferences": [{**reference, **changes}]}


def family(world: Any) -> None:
    owner = world.create("configmaps", "owner")
    child = world.create("configmaps", "child", metadata=owned_by(owner))
    world.create("secrets", "grandchild", metadata=owned_by(child))


def left(world: Any) -> list[str]:
    places = (("configmaps", "owner"), ("configmaps", "child"), ("secrets", "grandchild"))
    return [name for plural, name in places if world.get(plural, name)]


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_dependents_follow_their_owner(world: Any, propagation: str) -> None:
    family(world)
    world.delete("configmaps", "owner", propagation=propagation)
    assert left(world) == []


def test_orphans_stay_and_forget_their_owner(world: Any) -> None:
    family(world)
    world.delete("configmaps", "owner", propagation="Orphan")
    assert left(world) == ["child", "grandchild"]
    assert "ownerReferences" not in world.get("configmaps", "child")["metadata"]


def test_foreground_waits_for_a_dependent_that_is_held(world: Any) -> None:
    owner = world.create("configmaps", "owner")
    held = {**owned_by(owner), "finalizers": ["test.dev/hold"]}
    world.create("configmaps", "child", metadata=held)
    world.delete("configmaps", "owner", propagation="Foreground")
    assert left(world) == ["owner", "child"]
    metadata = world.get("configmaps", "child")["metadata"]
    world.patch("configmaps", "child", metadata={**metadata, "finalizers": []})
    assert left(world) == []


def test_an_owner_that_never_was_takes_its_dependent_along(world: Any) -> None:
    owner = world.create("configmaps", "owner")
    world.create("configmaps", "child", metadata=owned_by(owner, uid="never"))
    assert left(world) == ["owner"]


def test_one_of_two_owners_is_enough(world: Any) -> None:
    owner, other = world.create("configmaps", "owner"), world.create("configmaps", "other")
    both = owned_by(owner)["ownerReferences"] + owned_by(other)["ownerReferences"]
    world.create("configmaps", "child", metadata={"ownerReferences": both})
    world.delete("configmaps", "other")
    assert left(world) == ["owner", "child"]
    references = world.get("configmaps", "child")["metadata"]["ownerReferences"]
    assert [reference["name"] for reference in references] == ["owner"]


def test_a_namespace_takes_its_contents_along(world: Any) -> None:
    family(world)
    world.delete("namespaces", "default")
    assert left(world) == []
    assert world.get("namespaces", "default") is None
    assert world.get("serviceaccounts", "default") is None
