"""A local copy of one resource, kept true by list and watch; whoever reads it never waits for the API server.

It tells which key changed and nothing more: readers look at the state, not at the events. Objects are decoded to
whatever record its user wants; nothing here knows what they mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec

from trireme.cluster import backoff
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import Resource

log = logging.getLogger(__name__)

Key = tuple[str, str]
HEALTHY_SECONDS = 5.0
"""A round that brought events or lasted so long was no failure; others are repeated ever more slowly."""


class Record(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


R = TypeVar("R", bound=Record)


class Informer(Generic[R]):
    """Records by key. `changed` is called with the key of each record that came, changed or went."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        decode: Callable[[msgspec.Raw], R],
        key: Callable[[R], Key],
        changed: Callable[[Key], None],
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        told: Callable[[str], None] = lambda kind: None,
    ) -> None:
        """`told` is called with the type of each event of the watch (`ADDED`, `BOOKMARK`, ...)."""
        self._client = client
        self._resource = resource
        self._decode = decode
        self._key = key
        self._changed = changed
        self._namespace = namespace
        self._labels = label_selector
        self._fields = field_selector
        self._told = told
        self._records: dict[Key, R] = {}
        self._by_key: dict[Key, dict[Key, R]] = {}
        self._version = ""
        self._heard = 0
        """Events, ever."""
        self.synced = asyncio.Event()
        """Set once the first list is complete, and again once that is which `relist` asks for."""
        self._following: asyncio.Task[None] | None = None

    @property
    def version(self) -> int:
        """The resource version up to which everything has been seen; 0 before the first list."""
        return int(self._version or 0)

    def of(self, key: Key) -> list[R]:
        return list(self._by_key.get(key, {}).values())

    def relist(self) -> None:
        """Forgets the watch, which may be half open, and any list that is under way, and begins with a list anew."""
        self.synced.clear()
        if self._following is not None:
            self._following.cancel()

    async def run(self) -> None:
        """Until cancelled; no failure of the API server ends it."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._following = group.create_task(self._follow())
                await asyncio.wait([self._following])

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        relist = True
        while True:
            began, heard, asked = loop.time(), self._heard, None
            try:
                if relist:
                    await self._list()
                    relist = False
                await self._watch()
            except (ApiError, msgspec.DecodeError) as error:
                relist = relist or not isinstance(error, ApiError) or error.gone
                asked = error.retry_after if isinstance(error, ApiError) else None
                log.warning("informer interrupted resource=%s relist=%s error=%s", self._resource.plural, relist, error)
            healthy = asked is None and (self._heard > heard or loop.time() - began >= HEALTHY_SECONDS)
            failures = 0 if healthy else failures + 1
            if failures:
                await asyncio.sleep(backoff.delay(failures, asked=asked))

    async def _list(self) -> None:
        listed: dict[Key, R] = {}
        version = ""
        listing = self._client.pages(
            self._resource, self._namespace, label_selector=self._labels, field_selector=self._fields
        )
        async with contextlib.aclosing(listing) as pages:
            async for data in pages:
                page = _pages.decode(data)
                version = page.metadata.version
                for raw in page.items or ():
                    record = self._decode(raw)
                    listed[record.namespace, record.name] = record
        for name in self._records.keys() - listed.keys():  # deleted while nobody watched
            self._forget(name)
        for record in listed.values():
            self._put(record)
        self._version = version
        self.synced.set()
        log.debug("listed resource=%s count=%d version=%s", self._resource.plural, len(listed), version)

    async def _watch(self) -> None:
        """One watch, to its end. Raises ApiError for an error in the stream."""
        events = self._client.watch(
            self._resource,
            self._namespace,
            resource_version=self._version,
            label_selector=self._labels,
            field_selector=self._fields,
        )
        async with contextlib.aclosing(events):
            async for line in events:
                event = _events.decode(line)
                self._told(event.type)
                if event.type == "ERROR":
                    raise _in_stream(self._resource, event.object)
                if event.type == "BOOKMARK":
                    self._version = _bookmarks.decode(event.object).metadata.version
                    continue
                record = self._decode(event.object)
                self._version = record.resource_version
                self._heard += 1
                if event.type == "DELETED":
                    self._forget((record.namespace, record.name))
                else:
                    self._put(record)

    def _put(self, record: R) -> None:
        name = record.namespace, record.name
        old = self._records.get(name)
        if old is not None and old.resource_version == record.resource_version:
            return
        key = self._key(record)
        if old is not None and self._key(old) != key:
            self._forget(name)
        self._records[name] = record
        self._by_key.setdefault(key, {})[name] = record
        self._changed(key)

    def _forget(self, name: Key) -> None:
        record = self._records.pop(name, None)
        if record is None:
            return
        key = self._key(record)
        of_key = self._by_key[key]
        del of_key[name]
        if not of_key:
            del self._by_key[key]
        self._changed(key)


class _Version(msgspec.Struct, rename={"version": "resourceVersion"}):
    version: str = ""


class _Page(msgspec.Struct):
    metadata: _Version
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct):
    metadata: _Version


class _Status(msgspec.Struct):
    code: int = 0
    reason: str = ""
    message: str = ""


_pages = msgspec.json.Decoder(_Page)
_events = msgspec.json.Decoder(_Event)
_bookmarks = msgspec.json.Decoder(_Bookmark)


def _in_stream(resource: Resource, data: msgspec.Raw) -> ApiError:
    status = msgspec.json.decode(data, type=_Status)
    return ApiError(f"watch {resource.plural}", status.code, status.reason, status.message)
