"""Server-side apply as recorded from Kubernetes 1.36, its bookkeeping, and the laws that must hold for any object."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.pocket.objects.apply import ApplyConflict, apply, record_update
from trireme.pocket.objects.causes import Cause
from trireme.pocket.objects.fieldset import decode, encode, owned
from trireme.pocket.objects.merge_keys import ATOMIC_LISTS, built_in
from trireme.pocket.objects.patch import PatchError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def widget(**spec):
    return {"apiVersion": "g/v1", "kind": "Widget", "metadata": {"name": "ap"}, "spec": spec}


def applied(live, manager, *, force=False, now=NOW, obj=None, keys=ATOMIC_LISTS, **spec):
    return apply(live, obj or widget(**spec), manager, force, keys, now, "g/v1")


def managers(obj):
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


@pytest.fixture
def live():
    return applied(None, "one", mode="Fast", replicas=3, template={"x": 1})


def test_creation_is_recorded(live):
    assert live == {
        **widget(mode="Fast", replicas=3, template={"x": 1}),
        "metadata": {
            "name": "ap",
            "managedFields": [
                {
                    "manager": "one",
                    "operation": "Apply",
                    "apiVersion": "g/v1",
                    "time": "2026-01-01T00:00:00Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:spec": {"f:mode": {}, "f:replicas": {}, "f:template": {"f:x": {}}}},
                }
            ],
        },
    }


def test_applying_the_same_again_changes_nothing(live):
    assert applied(live, "one", now=LATER, mode="Fast", replicas=3, template={"x": 1}) == live


def test_conflict(live):
    with pytest.raises(
        ApplyConflict, match=r'^Apply failed with 1 conflict: conflict with "one": \.spec\.mode$'
    ) as told:
        applied(live, "two", mode="Safe")
    assert told.value.causes == [Cause("FieldManagerConflict", ".spec.mode", 'conflict with "one"')]


def test_conflicts_are_told_by_manager(live):
    live["metadata"]["managedFields"] = record_update(
        live, {**live, "spec": {**live["spec"], "limit": 1}}, "kubectl", "g/v1", LATER, "scale", ATOMIC_LISTS
    )
    live["spec"]["limit"] = 1
    with pytest.raises(ApplyConflict) as told:
        applied(live, "two", mode="Safe", replicas=1, limit=2)
    assert str(told.value) == (
        'Apply failed with 3 conflicts: conflicts with "kubectl" with subresource "scale" using g/v1 at '
        '2026-01-01T00:01:00Z:\n- .spec.limit\nconflicts with "one":\n- .spec.mode\n- .spec.replicas'
    )


def test_force_takes_over_and_dropped_fields_go(live):
    live["spec"]["limits"] = {"retry": 3}  # a default, owned by nobody
    forced = applied(live, "two", force=True, mode="Safe")
    assert forced["spec"]["mode"] == "Safe"
    assert managers(forced) == {
        "one": {"f:spec": {"f:replicas": {}, "f:template": {"f:x": {}}}},
        "two": {"f:spec": {"f:mode": {}}},
    }
    dropped = applied(forced, "one", replicas=3)
    assert dropped["spec"] == {"limits": {"retry": 3}, "mode": "Safe", "replicas": 3}
    shared = applied(dropped, "three", mode="Safe")
    assert sorted(managers(shared)) == ["one", "three", "two"]


def test_a_shared_field_stays_until_the_last_owner_drops_it(live):
    shared = applied(live, "two", mode="Fast")
    assert applied(shared, "one", replicas=3)["spec"] == {"mode": "Fast", "replicas": 3}


def test_an_update_takes_fields_from_an_applier(live):
    new = {**live, "spec": {"mode": "Safe", "replicas": 3, "template": {"x": 1}}}
    told = record_update(live, new, "kubectl-edit", "g/v1", LATER, "", ATOMIC_LISTS)
    assert [(entry["manager"], entry["operation"], entry["time"], entry["fieldsV1"]) for entry in told] == [
        ("one", "Apply", "2026-01-01T00:00:00Z", {"f:spec": {"f:replicas": {}, "f:template": {"f:x": {}}}}),
        ("kubectl-edit", "Update", "2026-01-01T00:01:00Z", {"f:spec": {"f:mode": {}}}),
    ]


def test_creation_by_update_owns_the_containers_too():
    [entry] = record_update(None, widget(mode="Fast"), "kubectl-create", "g/v1", NOW, "", ATOMIC_LISTS)
    assert entry["fieldsV1"] == {"f:spec": {".": {}, "f:mode": {}}}


def test_an_update_that_changes_nothing_is_not_recorded(live):
    assert record_update(live, live, "two", "g/v1", LATER, "", ATOMIC_LISTS) == live["metadata"]["managedFields"]


def test_a_status_update_is_recorded_with_its_subresource(live):
    told = record_update(live, {**live, "status": {"a": 1}}, "op", "g/v1", LATER, "status", ATOMIC_LISTS)
    assert told[1] == {
        "manager": "op",
        "operation": "Update",
        "apiVersion": "g/v1",
        "time": "2026-01-01T00:01:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:status": {".": {}, "f:a": {}}},
        "subresource": "status",
    }


def test_a_client_may_clear_the_managers(live):
    cleared = {**live, "metadata": {"name": "ap", "managedFields": [{}]}}
    assert record_update(live, cleared, "two", "g/v1", LATER, "", ATOMIC_LISTS) == []


def pod(*containers, **spec):
    metadata = {"name": "p", "labels": {"a": "b"}, "finalizers": ["x/y"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": list(containers), **spec}}


def test_map_lists_and_sets_are_owned_item_by_item():
    obj = pod(
        {"name": "c", "ports": [{"containerPort": 80}], "command": ["x", "y"], "env": [{"name": "A", "value": "1"}]},
        tolerations=[{"key": "k"}],
        volumes=[],
    )
    assert encode(owned(obj, built_in("Pod"))) == {
        "f:apiVersion": {},
        "f:kind": {},
        "f:metadata": {"f:finalizers": {'v:"x/y"': {}}, "f:labels": {"f:a": {}}, "f:name": {}},
        "f:spec": {
            "f:containers": {
                'k:{"name":"c"}': {
                    ".": {},
                    "f:command": {},
                    "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                    "f:name": {},
                    "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                }
            },
            "f:tolerations": {},
            "f:volumes": {},
        },
    }


def test_two_managers_share_a_list():
    keys = built_in("Pod")
    first = applied(None, "one", obj=pod({"name": "a", "image": "1"}, {"name": "b", "image": "1"}), keys=keys)
    second = applied(first, "two", obj=pod({"name": "c"}, {"name": "a", "stdin": True}), keys=keys)
    assert second["spec"]["containers"] == [
        {"name": "c"}, {"name": "a", "image": "1", "stdin": True}, {"name": "b", "image": "1"},
    ]  # fmt: skip
    third = applied(second, "one", obj=pod({"name": "a", "image": "2"}), keys=keys)
    assert third["spec"]["containers"] == [{"name": "c"}, {"name": "a", "image": "2", "stdin": True}]
    with pytest.raises(ApplyConflict, match=r'\.spec\.containers\[name="a"\]\.image$'):
        applied(third, "two", obj=pod({"name": "a", "image": "3"}), keys=keys)


def test_items_of_one_key_stand_as_one_value():
    keys = built_in("Pod")
    old = pod({"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})
    new = pod({"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "3"}]})
    [entry] = record_update(old, new, "m", "v1", NOW, "", keys)
    assert entry["fieldsV1"] == {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:env": {'k:{"name":"A"}': {}}}}}}


def test_an_item_named_twice_is_refused():
    twice = pod({"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})
    why = r'errors:\n  \.spec\.containers\[name="c"\]\.env: duplicate entries for key \[name="A"\]$'
    with pytest.raises(PatchError, match=why):
        applied(None, "one", obj=twice, keys=built_in("Pod"))


@pytest.mark.parametrize("entry", [{"manager": 1}, {"manager": "m"}, {"manager": "m", "fieldsV1": []}])
def test_managed_fields_that_cannot_be_read_are_dropped(live, entry):
    live["metadata"]["managedFields"].append(entry)
    assert sorted(managers(applied(live, "two", other=1))) == ["one", "two"]


names = st.sampled_from(["a", "b", "c"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
specs = st.dictionaries(names, values, max_size=3)


@given(specs)
def test_field_sets_survive_their_encoding(spec):
    paths = owned(spec, ATOMIC_LISTS)
    assert decode(encode(paths)) == paths


@given(specs, specs)
def test_apply_is_idempotent(first, second):
    live = applied(None, "one", **first)
    once = applied(live, "two", force=True, **second)
    assert applied(once, "two", now=LATER, **second) == once


@given(specs, specs)
def test_the_last_word_of_a_lone_manager_is_the_object(first, second):
    live = applied(None, "one", **first)
    assert applied(live, "one", **second)["spec"] == second


@given(specs, specs)
def test_after_a_forced_apply_no_two_managers_want_different_values(first, second):
    forced = applied(applied(None, "one", **first), "two", force=True, **second)
    again = applied(forced, "two", **second)
    assert again == forced
