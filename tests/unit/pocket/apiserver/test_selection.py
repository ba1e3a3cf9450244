from __future__ import annotations

from typing import Any

import pytest
from trireme.pocket.apiserver.builtin.kinds import BUILT_IN
from trireme.pocket.apiserver.errors import ApiError
from trireme.pocket.apiserver.selection import listing, selection, wants_initial_events
from trireme.pocket.apiserver.store import Store

PODS = next(kind for kind in BUILT_IN if kind.plural == "pods")


@pytest.fixture
def store() -> Store:
    store = Store(history=4)
    for name, node in (("a", "n1"), ("b", "n2"), ("c", "n1")):
        pod = {"metadata": {"name": name, "namespace": "ns", "uid": name}, "spec": {"nodeName": node}}
        store.put("pods", f"ns/{name}", pod)
    return store


def names(store: Store, **query: str) -> list[str]:
    return [record.value["metadata"]["name"] for record in listing(store, PODS, "ns", query).page.records]


def test_field_selectors_choose_by_what_the_kind_offers(store: Store) -> None:
    assert names(store, fieldSelector="spec.nodeName=n1") == ["a", "c"]
    assert names(store, fieldSelector="spec.nodeName!=n1,metadata.name=b") == ["b"]


def test_a_name_narrows_the_keys(store: Store) -> None:
    assert selection(PODS, "ns", {"fieldSelector": "metadata.name=a"}).prefix == "ns/a"
    assert selection(PODS, None, {"fieldSelector": "metadata.name=a"}).prefix == ""


def test_pages_join_to_the_whole_list_though_it_changes(store: Store) -> None:
    first = listing(store, PODS, "ns", {"limit": "2"})
    store.remove("pods", "ns/c")
    second = listing(store, PODS, "ns", {"limit": "2", "continue": first.next})
    assert [record.key for record in [*first.page.records, *second.page.records]] == ["ns/a", "ns/b", "ns/c"]
    assert (first.remaining, second.next) == (1, "")


def test_a_token_older_than_the_history_is_expired_and_brings_a_new_one(store: Store) -> None:
    first = listing(store, PODS, "ns", {"limit": "1"})
    for _ in range(5):
        store.put("pods", "ns/b", {"metadata": {"name": "b", "uid": "b"}})
    with pytest.raises(ApiError) as refusal:
        listing(store, PODS, "ns", {"limit": "1", "continue": first.next})
    assert (refusal.value.code, refusal.value.reason) == (410, "Expired")
    fresh = refusal.value.status["metadata"]["continue"]
    assert names(store, **{"continue": fresh}) == ["b", "c"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param({"fieldSelector": "spec.colour=red"}, 400, id="unknown field"),
        pytest.param({"labelSelector": "==="}, 400, id="no label selector"),
        pytest.param({"limit": "many"}, 400, id="limit no number"),
        pytest.param({"continue": "zzz"}, 400, id="token no token"),
        pytest.param({"resourceVersion": "new"}, 422, id="version no number"),
        pytest.param({"resourceVersion": "99"}, 504, id="version of the future"),
        pytest.param({"resourceVersionMatch": "Exact"}, 422, id="match without version"),
        pytest.param({"resourceVersion": "1", "resourceVersionMatch": "Odd"}, 422, id="unknown match"),
    ],
)
def test_refused(store: Store, query: dict[str, str], code: int) -> None:
    with pytest.raises(ApiError) as refusal:
        listing(store, PODS, "ns", query)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, False),
        ({"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}, True),
        ({"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}, False),
        ({"sendInitialEvents": "true"}, None),
        ({"resourceVersionMatch": "NotOlderThan"}, None),
    ],
)
def test_streaming_lists(query: dict[str, str], wanted: Any) -> None:
    if wanted is None:
        with pytest.raises(ApiError, match="resourceVersionMatch"):
            wants_initial_events(query)
    else:
        assert wants_initial_events(query) is wanted
