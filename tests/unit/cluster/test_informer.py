from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from support.warp import clock, warped
from trireme.cluster.errors import ApiError, Unreachable
from trireme.cluster.informer import Informer, Key
from trireme.cluster.resources import PODS


@dataclass(frozen=True)
class Thing:
    namespace: str
    name: str
    resource_version: str
    group: str


def decode(raw: msgspec.Raw) -> Thing:
    metadata = msgspec.json.decode(raw)["metadata"]
    return Thing(metadata["namespace"], metadata["name"], metadata["resourceVersion"], metadata["group"])


def thing(name: str, version: int, group: str = "g") -> dict[str, Any]:
    return {"metadata": {"namespace": "team", "name": name, "resourceVersion": str(version), "group": group}}


def event(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode()


def page(version: int, *items: dict[str, Any]) -> bytes:
    return json.dumps({"metadata": {"resourceVersion": str(version)}, "items": items}).encode()


class Script:
    """A client that answers from a script: each list with the next pages, each watch with the next lines.

    An exception in either is raised there, a number in a list is waited for. A watch without a script lasts for ever.
    """

    def __init__(self, lists: Sequence[Any] = (), watches: Sequence[Any] = ()) -> None:
        self._lists = list(lists)
        self._watches = list(watches)
        self.asked: list[tuple[float, str]] = []

    async def pages(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        self.asked.append((clock(), "list"))
        for item in self._lists.pop(0):
            if isinstance(item, Exception):
                raise item
            if isinstance(item, float):
                await asyncio.sleep(item)
            else:
                yield item

    async def watch(self, *_: Any, resource_version: str, **__: Any) -> AsyncGenerator[bytes, None]:
        self.asked.append((clock(), f"watch {resource_version}"))
        if not self._watches:
            await asyncio.sleep(1e9)
        for item in self._watches.pop(0):
            if isinstance(item, Exception):
                raise item
            await asyncio.sleep(10)
            yield item


def follow(script: Script, seconds: float = 1000) -> tuple[dict[str, list[str]], list[str]]:
    """What the informer holds in the end, by group as name@version, and the keys it said had changed."""
    changed: list[str] = []

    async def main() -> dict[str, list[str]]:
        informer: Informer[Thing] = Informer(
            script,  # type: ignore[arg-type]
            PODS,
            decode=decode,
            key=lambda it: (it.namespace, it.group),
            changed=lambda key: changed.append(key[1]),
        )
        task = asyncio.create_task(informer.run())
        await asyncio.sleep(seconds)
        assert informer.synced.is_set()
        task.cancel()
        held: Callable[[Key], list[str]] = lambda key: [f"{it.name}@{it.resource_version}" for it in informer.of(key)]  # noqa: E731
        return {group: held(("team", group)) for group in ("g", "h") if held(("team", group))}

    return warped(main()), changed


GONE = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


def test_pages_and_events_are_put_together_by_key() -> None:
    script = Script(
        [[page(3, thing("a", 1)), page(3, thing("b", 2, "h"))]],
        [[event("ADDED", thing("c", 4)), event("MODIFIED", thing("a", 5)), event("DELETED", thing("b", 6, "h"))]],
    )
    assert follow(script) == ({"g": ["a@5", "c@4"]}, ["g", "h", "g", "g", "h"])


def test_a_record_that_changes_its_key_leaves_the_old_one() -> None:
    script = Script([[page(1, thing("a", 1))]], [[event("MODIFIED", thing("a", 2, "h"))]])
    assert follow(script) == ({"h": ["a@2"]}, ["g", "g", "h"])


def test_the_watch_goes_on_where_it_ended_bookmarks_included() -> None:
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    script = Script([[page(1)]], [[event("ADDED", thing("a", 2))], [bookmark]])
    follow(script)
    assert script.asked == [(0, "list"), (0, "watch 1"), (10, "watch 2"), (20, "watch 9")]


def test_after_410_the_list_shows_what_went_unseen() -> None:
    script = Script([[page(2, thing("a", 1), thing("b", 2, "h"))], [page(9, thing("a", 1), thing("c", 8))]], [[GONE]])
    held, changed = follow(script)
    assert held == {"g": ["a@1", "c@8"]}
    assert changed == ["g", "h", "h", "g"]  # b went, c came; a is as it was
    assert [what for _, what in script.asked] == ["list", "watch 2", "list", "watch 9"]


def test_410_on_the_request_itself_lists_anew() -> None:
    gone = ApiError("watch", 410, "Expired", "too old")
    script = Script([[page(2)], [page(5)]], [[gone]])
    follow(script)
    assert [what for _, what in script.asked] == ["list", "watch 2", "list", "watch 5"]


def test_a_list_that_breaks_off_changes_nothing() -> None:
    script = Script(
        [[page(1, thing("a", 1))], [page(7), Unreachable("list", "broken")], [page(8, thing("a", 1))]], [[GONE]]
    )
    assert follow(script) == ({"g": ["a@1"]}, ["g"])


def test_a_server_that_is_away_is_asked_ever_less_often_and_never_given_up() -> None:
    away = [[Unreachable("list", "refused")] for _ in range(40)]
    script = Script([*away, [page(1, thing("a", 1))]])
    held, _ = follow(script, seconds=2000)
    assert held == {"g": ["a@1"]}
    times = [time for time, _ in script.asked]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)][:39]
    assert pauses[0] <= 0.2
    assert all(15 <= pause <= 30 for pause in pauses[10:])


def test_a_watch_that_ends_at_once_each_time_makes_no_busy_loop() -> None:
    script = Script([[page(1)]], [[] for _ in range(100)])
    follow(script, seconds=100)
    assert len(script.asked) < 20


def test_an_event_that_cannot_be_read_leads_to_a_new_list() -> None:
    script = Script([[page(1)], [page(4, thing("a", 3))]], [[b'{"type":"ADDED","object":{"metadata":{']])
    assert follow(script) == ({"g": ["a@3"]}, ["g"])


def test_it_tells_the_type_of_each_event_of_the_watch() -> None:
    told: list[str] = []
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    script = Script([[page(1, thing("a", 1))]], [[event("MODIFIED", thing("a", 2)), bookmark]])

    async def main() -> None:
        informer: Informer[Thing] = Informer(
            script,  # type: ignore[arg-type]
            PODS,
            decode=decode,
            key=lambda it: (it.namespace, it.group),
            changed=lambda key: None,
            told=told.append,
        )
        task = asyncio.create_task(informer.run())
        await asyncio.sleep(100)
        task.cancel()

    warped(main())
    assert told == ["MODIFIED", "BOOKMARK"]


def test_a_busy_server_is_left_alone_as_long_as_it_says() -> None:
    busy = ApiError("watch", 429, "TooManyRequests", "busy", retry_after=20)
    script = Script([[page(1)]], [[event("ADDED", thing("a", 2)), busy]])
    follow(script)
    assert script.asked == [(0, "list"), (0, "watch 1"), (30, "watch 2")]


def test_a_continue_token_that_is_too_old_begins_the_list_anew() -> None:
    gone = ApiError("list", 410, "Expired", "the provided continue parameter is too old")
    script = Script([[page(1, thing("a", 1)), gone], [page(7, thing("a", 1), thing("b", 6, "h"))]])
    assert follow(script) == ({"g": ["a@1"], "h": ["b@6"]}, ["g", "h"])


def relisted(script: Script, seconds: float) -> list[str]:
    """What it holds when it was asked after so long to list anew, and has."""

    async def main() -> list[str]:
        informer: Informer[Thing] = Informer(
            script,  # type: ignore[arg-type]
            PODS,
            decode=decode,
            key=lambda it: (it.namespace, it.group),
            changed=lambda key: None,
        )
        task = asyncio.create_task(informer.run())
        await asyncio.sleep(seconds)
        informer.relist()
        assert not informer.synced.is_set()
        await informer.synced.wait()
        task.cancel()
        return [it.name for it in informer.of(("team", "g"))]

    return warped(main())


def test_what_a_silent_watch_did_not_tell_is_in_the_list_that_is_asked_for() -> None:
    script = Script([[page(1, thing("a", 1))], [page(9, thing("b", 8))]])
    assert relisted(script, 100) == ["b"]
    assert script.asked == [(0, "list"), (0, "watch 1"), (100, "list"), (100, "watch 9")]


def test_a_list_that_was_under_way_when_another_was_asked_for_does_not_count() -> None:
    script = Script([[5.0, page(1, thing("a", 1))], [5.0, page(9, thing("b", 8))]])
    assert relisted(script, 3) == ["b"]
    assert script.asked == [(0, "list"), (3, "list"), (8, "watch 9")]
