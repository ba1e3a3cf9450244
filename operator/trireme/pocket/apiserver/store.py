"""Objects in memory with one version counter, a bounded history and watches: what etcd and the watch cache are to a
cluster. It knows neither kinds nor HTTP: a resource is a string, an object a dict that nobody edits once it is stored.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Object = dict[str, Any]
Matches = Callable[[Object], bool]
Change = Literal["ADDED", "MODIFIED", "DELETED"]

HISTORY = 10_000
"""Changes of one resource that are kept; a watch or page that began before them is told to start again."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Expired(Exception):
    """The history no longer reaches back to the version asked for; `oldest` is the first that it can serve."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {asked} ({oldest})")
        self.oldest = oldest


class Record:
    """One version of one object. The encodings are made once, however many lists and watches they go to."""

    __slots__ = ("_encodings", "_value", "key", "version")

    def __init__(self, key: str, version: int, value: Object) -> None:
        self.key = key
        self.version = version
        self._value: Object | None = value
        self._encodings: dict[str, bytes] = {}

    @property
    def value(self) -> Object:
        """The object; of a version that is history it is decoded each time."""
        return _decode(self._encodings[""]) if self._value is None else self._value

    @property
    def uid(self) -> str:
        return str(self.value["metadata"]["uid"])

    def encoded(self, view: str = "", convert: Callable[[Object], Object] | None = None) -> bytes:
        """JSON of the object: as it is stored, or as `convert` makes it for the API version `view`."""
        if convert is None:
            view = ""
        found = self._encodings.get(view)
        if found is None:
            found = self._encodings[view] = _encode(self.value if convert is None else convert(self.value))
        return found

    def archive(self) -> None:
        """Keeps the bytes alone: garbage collection walks every dict of ten thousand old versions, seconds in all."""
        self.encoded()
        self._value = None


@dataclass(slots=True, eq=False)
class Event:
    """One change. `before` is None for an addition, `after` for a deletion; `record` is what watches are shown."""

    resource: str
    change: Change
    record: Record
    before: Record | None

    @property
    def after(self) -> Record | None:
        return None if self.change == "DELETED" else self.record


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as one watch sees it: a selector turns a change of labels into an addition or a deletion."""

    change: Change
    record: Record


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list: `version` is the state it shows, `rest` the number of objects after it."""

    records: list[Record]
    version: int
    rest: int


@dataclass(eq=False)
class Watch:
    """The changes of one resource that a client has yet to read. A client that falls too far behind is cut off."""

    since: int
    prefix: str
    matches: Matches | None
    limit: int
    closed: bool = False
    _pending: list[Seen] = field(default_factory=list)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, event: Event) -> None:
        """Queues the event if this watch shows it."""
        record = event.record
        if self.closed or record.version <= self.since or not record.key.startswith(self.prefix):
            return
        if self.matches is None:
            self._push(Seen(event.change, record))
            return
        was = event.before is not None and self.matches(event.before.value)
        is_now = event.after is not None and self.matches(event.after.value)
        if is_now:
            self._push(Seen("MODIFIED" if was else "ADDED", record))
        elif was:
            self._push(Seen("DELETED", record))

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    async def batch(self) -> list[Seen]:
        """Waits for changes and takes all that are pending; an empty list says that the watch is closed."""
        while not self._pending and not self.closed:
            self._wake.clear()
            await self._wake.wait()
        taken, self._pending = self._pending, []
        return taken

    def _push(self, seen: Seen) -> None:
        self._pending.append(seen)
        if len(self._pending) > self.limit:
            self.close()
        self._wake.set()


class _Collection:
    """The objects of one resource, their keys in order, their recent changes and their watches."""

    def __init__(self, history: int) -> None:
        self.records: dict[str, Record] = {}
        self.keys: list[str] = []
        self.events: deque[Event] = deque(maxlen=history)
        self.forgotten = 0
        self.watches: set[Watch] = set()

    def commit(self, event: Event) -> None:
        key = event.record.key
        if event.before is None:
            insort(self.keys, key)
        if event.after is None:
            del self.records[key]
            del self.keys[bisect_left(self.keys, key)]
        else:
            self.records[key] = event.record
        if len(self.events) == self.events.maxlen:
            self.forgotten = self.events[0].record.version
        self.events.append(event)
        for watch in tuple(self.watches):
            watch.offer(event)

    def since(self, version: int) -> Iterator[Event]:
        """The changes after `version`, newest first. Raises Expired."""
        if version < self.forgotten:
            raise Expired(version, self.forgotten)
        for event in reversed(self.events):
            if event.record.version <= version:
                return
            yield event

    def at(self, version: int, prefix: str, after: str) -> list[Record]:
        """The objects as they were at `version`, in key order. Raises Expired."""
        undone = {event.record.key: event.before for event in self.since(version)}
        low = bisect_left(self.keys, max(prefix, after))
        high = bisect_left(self.keys, _beyond(prefix)) if prefix else len(self.keys)
        keys = self.keys[low:high]
        if not undone:
            return [self.records[key] for key in keys]
        missing = (key for key in undone if key not in self.records and key.startswith(prefix) and key >= after)
        found = (undone[key] if key in undone else self.records[key] for key in sorted([*keys, *missing]))
        return [record for record in found if record is not None]


class Store:
    """All objects. Synchronous: between two awaits of its users nothing changes, so read-modify-write needs no lock.

    `on_change` is called after each change, in the order of the changes; it must not write to the store itself.
    """

    def __init__(self, *, history: int = HISTORY) -> None:
        self.version = 1
        self.on_change: list[Callable[[Event], None]] = []
        self._history = history
        self._collections: dict[str, _Collection] = {}

    def get(self, resource: str, key: str) -> Record | None:
        return self._collection(resource).records.get(key)

    def records(self, resource: str, prefix: str = "") -> list[Record]:
        """All current objects whose key begins with `prefix`, in key order."""
        return self._collection(resource).at(self.version, prefix, "")

    def put(self, resource: str, key: str, value: Object) -> Record:
        """Stores a new version of the object, whose resourceVersion it sets."""
        collection = self._collection(resource)
        before = collection.records.get(key)
        record = self._stamped(key, value)
        self._commit(collection, Event(resource, "ADDED" if before is None else "MODIFIED", record, before))
        return record

    def remove(self, resource: str, key: str, last: Object | None = None) -> Record:
        """Removes the object; the record returned shows `last` (default: what was stored) with the version of the
        deletion. Raises KeyError."""
        collection = self._collection(resource)
        before = collection.records[key]
        record = self._stamped(key, before.value if last is None else last)
        self._commit(collection, Event(resource, "DELETED", record, before))
        return record

    def page(
        self,
        resource: str,
        *,
        prefix: str = "",
        matches: Matches | None = None,
        version: int | None = None,
        after: str = "",
        limit: int = 0,
    ) -> Page:
        """The objects with keys from `after` on, as of `version` (default now), at most `limit` (0: all).

        Raises Expired when the history does not reach back to `version`.
        """
        shown = self.version if version is None else version
        found = self._collection(resource).at(shown, prefix, after)
        if matches is not None:
            found = [record for record in found if matches(record.value)]
        if not limit or len(found) <= limit:
            return Page(found, shown, 0)
        return Page(found[:limit], shown, len(found) - limit)

    def watch(
        self, resource: str, *, since: int | None = None, prefix: str = "", matches: Matches | None = None
    ) -> Watch:
        """Subscribes to the changes after `since` (default now). Raises Expired."""
        collection = self._collection(resource)
        watch = Watch(self.version if since is None else since, prefix, matches, self._history)
        if since is not None:
            for event in reversed(list(collection.since(since))):
                watch.offer(event)
        collection.watches.add(watch)
        return watch

    def unwatch(self, resource: str, watch: Watch) -> None:
        watch.close()
        self._collection(resource).watches.discard(watch)

    def close_watches(self, resource: str | None = None) -> None:
        """Ends every watch (of one resource) after the events it already has."""
        for each in self._collections if resource is None else (resource,):
            for watch in tuple(self._collection(each).watches):
                watch.close()

    def _collection(self, resource: str) -> _Collection:
        found = self._collections.get(resource)
        if found is None:
            found = self._collections[resource] = _Collection(self._history)
        return found

    def _stamped(self, key: str, value: Object) -> Record:
        self.version += 1
        metadata = {**value["metadata"], "resourceVersion": str(self.version)}
        return Record(key, self.version, {**value, "metadata": metadata})

    def _commit(self, collection: _Collection, event: Event) -> None:
        collection.commit(event)
        for listener in self.on_change:
            listener(event)
        for past in (event.before, event.record if event.after is None else None):
            if past is not None:
                past.archive()


def object_key(namespace: str | None, name: str) -> str:
    """Where an object lies: `namespace/name`, or the name alone for a cluster-scoped kind."""
    return f"{namespace}/{name}" if namespace else name


def copied(obj: Object) -> Object:
    """A copy that shares nothing; through JSON, which is many times faster than `copy.deepcopy`."""
    copy: Object = _decode(_encode(obj))
    return copy


def _beyond(prefix: str) -> str:
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
