import contextlib

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.pocket.objects.merge_keys import built_in
from trireme.pocket.objects.patch import PatchError, json_patch, merge_patch, strategic_merge

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=2), values, max_size=4)


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"b": [1, 2], "c": 1}}, {"a": {"b": [3]}}, {"a": {"b": [3], "c": 1}}),
        ({"a": [1]}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": 1}, [1], [1]),
        ([1], {"a": {"b": None}}, {"a": {}}),
    ],
)
def test_merge_patch(target, patch, merged):
    assert merge_patch(target, patch) == merged


@given(objects, objects)
def test_merge_patch_is_idempotent(target, patch):
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@given(objects)
def test_merge_patch_with_nothing_changes_nothing(target):
    assert merge_patch(target, {}) == target


@given(objects, objects)
def test_json_patch_carries_out_any_difference(before, after):
    assert json_patch(before, jsonpatch.make_patch(before, after).patch) == after


def test_json_patch_keeps_its_target():
    target = {"a": {"b": 1}}
    assert json_patch(target, [{"op": "replace", "path": "/a/b", "value": 2}]) == {"a": {"b": 2}}
    assert target == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("operations", "malformed"),
    [
        ({}, True),
        ([1], True),
        ([{"path": "/a"}], True),
        ([{"op": "jump", "path": "/a"}], True),
        ([{"op": "remove", "path": "a"}], False),
        ([{"op": "add", "path": "/a"}], True),
        ([{"op": "remove", "path": "/none"}], False),
        ([{"op": "test", "path": "/a", "value": 2}], False),
        ([{"op": "add", "path": "/none/b", "value": 1}], False),
        ([{"op": "add", "path": "/l/7", "value": 1}], False),
        ([{"op": "add", "path": "/a/b", "value": 1}], False),
    ],
)
def test_json_patch_refused(operations, malformed):
    with pytest.raises(PatchError) as refused:
        json_patch({"a": 1, "l": []}, operations)
    assert refused.value.malformed is malformed


def pod(**spec):
    return {"spec": spec}


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        pytest.param(
            pod(containers=[{"name": "a", "image": "1"}, {"name": "b"}]),
            pod(containers=[{"name": "a", "image": "2"}, {"name": "c"}]),
            pod(containers=[{"name": "a", "image": "2"}, {"name": "b"}, {"name": "c"}]),
            id="lists merge by key",
        ),
        pytest.param(
            pod(containers=[{"name": "a"}, {"name": "b"}]),
            pod(containers=[{"name": "a", "$patch": "delete"}]),
            pod(containers=[{"name": "b"}]),
            id="delete an item",
        ),
        pytest.param(
            pod(containers=[{"name": "a", "image": "1"}, {"name": "b"}]),
            pod(containers=[{"$patch": "replace"}, {"name": "c"}]),
            pod(containers=[{"name": "c"}]),
            id="replace a list",
        ),
        pytest.param(
            pod(nodeSelector={"a": "1"}),
            pod(nodeSelector={"$patch": "replace", "b": "2"}),
            pod(nodeSelector={"b": "2"}),
            id="replace an object",
        ),
        pytest.param(
            pod(tolerations=[{"key": "a"}]),
            pod(tolerations=[{"key": "b"}]),
            pod(tolerations=[{"key": "b"}]),
            id="atomic lists are replaced",
        ),
        pytest.param(
            pod(containers=[{"name": "a"}, {"name": "b"}]),
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                    "containers": [{"name": "b", "image": "2"}],
                }
            },
            pod(containers=[{"name": "b", "image": "2"}, {"name": "a"}]),
            id="element order",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}},
            {"metadata": {"finalizers": ["b", "c"]}},
            id="primitive sets",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "emptyDir": {}, "x": 1}]),
            pod(volumes=[{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]),
            pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            id="retain keys",
        ),
        pytest.param(pod(hostname="a"), pod(hostname=None), pod(), id="null removes"),
        pytest.param(
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {"status": {"conditions": [{"type": "Initialized", "status": "True"}]}},
            {
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]
                }
            },
            id="conditions merge by type",
        ),
    ],
)
def test_strategic_merge(target, patch, merged):
    assert strategic_merge(target, patch, built_in("Pod")) == merged


@pytest.mark.parametrize(
    "patch",
    [pod(containers=[{"image": "1"}]), pod(containers=["a"]), {"spec": {"$patch": "odd"}}],
    ids=["no merge key", "no object", "unknown directive"],
)
def test_strategic_merge_refused(patch):
    with pytest.raises(PatchError):
        strategic_merge(pod(containers=[{"name": "a"}]), patch, built_in("Pod"))


directives = st.sampled_from(["containers", "name", "$patch", "$retainKeys", "$setElementOrder/containers", "volumes"])
patches = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(directives, inner, max_size=3), max_leaves=12
)


@given(patches, patches)
def test_strategic_merge_of_anything_merges_or_is_refused(target, patch):
    with contextlib.suppress(PatchError):
        strategic_merge(pod(containers=target), pod(containers=patch), built_in("Pod"))
        strategic_merge({"spec": target}, {"spec": patch}, built_in("Pod"))
