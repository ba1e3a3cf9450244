from __future__ import annotations

from typing import Any

import pytest
from trireme.pocket.apiserver.store import Event, Expired, Seen, Store, Watch, object_key


def thing(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "labels": labels}}


def put(store: Store, name: str, **labels: str) -> int:
    return store.put("things", object_key("ns", name), thing(name, **labels)).version


def labelled(key: str) -> Any:
    return lambda obj: key in obj["metadata"]["labels"]


async def drained(watch: Watch) -> list[tuple[str, str]]:
    watch.close()
    seen: list[Seen] = await watch.batch()
    return [(each.change, each.record.key) for each in seen]


def keys(store: Store, **selection: Any) -> list[str]:
    return [record.key for record in store.page("things", **selection).records]


def test_versions_only_rise_and_are_written_into_the_object() -> None:
    store = Store()
    versions = [put(store, "a"), put(store, "b"), put(store, "a")]
    assert versions == sorted(set(versions))
    record = store.get("things", "ns/a")
    assert record is not None
    assert record.value["metadata"]["resourceVersion"] == str(versions[-1])


def test_objects_are_listed_in_key_order_and_by_prefix() -> None:
    store = Store()
    for name in ("c", "a", "b"):
        put(store, name)
    store.put("things", "other/a", thing("a"))
    assert keys(store, prefix="ns/") == ["ns/a", "ns/b", "ns/c"]
    assert keys(store) == ["ns/a", "ns/b", "ns/c", "other/a"]


def test_pages_show_the_state_of_the_first_page() -> None:
    store = Store()
    for name in ("a", "b", "c"):
        put(store, name)
    first = store.page("things", limit=1)
    store.remove("things", "ns/b")
    put(store, "bb")
    put(store, "c", new="label")
    rest = store.page("things", version=first.version, after=first.records[-1].key + "\0")
    assert (first.rest, [record.key for record in rest.records]) == (2, ["ns/b", "ns/c"])
    assert rest.records[1].value["metadata"]["labels"] == {}


def test_a_page_before_the_history_is_expired() -> None:
    store = Store(history=2)
    versions = [put(store, name) for name in ("a", "b", "c", "d")]
    with pytest.raises(Expired) as refusal:
        store.page("things", version=versions[0])
    assert refusal.value.oldest == versions[1]
    assert keys(store, version=versions[1]) == ["ns/a", "ns/b"]


async def test_a_watch_begins_after_its_version() -> None:
    store = Store()
    since = put(store, "a")
    put(store, "b")
    watch = store.watch("things", since=since)
    store.remove("things", "ns/a")
    assert await drained(watch) == [("ADDED", "ns/b"), ("DELETED", "ns/a")]


async def test_a_selector_turns_changes_into_additions_and_deletions() -> None:
    store = Store()
    watch = store.watch("things", matches=labelled("on"))
    put(store, "a", on="1")
    put(store, "a", on="2")
    put(store, "a")
    put(store, "a", on="3")
    store.remove("things", "ns/a")
    changes = [change for change, _ in await drained(watch)]
    assert changes == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]


async def test_a_watch_that_falls_behind_is_closed() -> None:
    store = Store(history=3)
    watch = store.watch("things")
    for _ in range(5):
        put(store, "a")
    assert watch.closed
    assert len(await watch.batch()) == 4
    assert await watch.batch() == []


async def test_closing_all_watches_ends_them_after_what_they_have() -> None:
    store = Store()
    watch = store.watch("things")
    put(store, "a")
    store.close_watches()
    put(store, "b")
    assert await drained(watch) == [("ADDED", "ns/a")]


def test_an_object_is_encoded_once_for_each_view() -> None:
    store = Store()
    record = store.put("things", "ns/a", thing("a"))
    assert record.encoded("v1") is record.encoded("v1")
    assert record.encoded("v2", lambda obj: {**obj, "apiVersion": "v2"}).endswith(b'"apiVersion":"v2"}')


def test_listeners_hear_every_change_with_what_was_there_before() -> None:
    store = Store()
    heard: list[Event] = []
    store.on_change.append(heard.append)
    put(store, "a")
    put(store, "a")
    store.remove("things", "ns/a")
    assert [(event.change, event.before is None, event.after is None) for event in heard] == [
        ("ADDED", True, False),
        ("MODIFIED", False, False),
        ("DELETED", False, True),
    ]


def test_versions_that_are_history_read_as_they_were() -> None:
    store = Store()
    records = [store.put("things", "ns/a", thing("a", colour=colour)) for colour in ("red", "blue")]
    records.append(store.remove("things", "ns/a"))
    read = [(each.value["metadata"]["resourceVersion"], each.value["metadata"]["labels"]) for each in records]
    assert read == [("2", {"colour": "red"}), ("3", {"colour": "blue"}), ("4", {"colour": "blue"})]
