"""Events (events.k8s.io/v1) about an object: for people, best effort, never in anybody's way.

`record` only notes down; a task of its own writes. The same words again become a series: one Event whose count grows.
Other words are another Event, since the API server lets nobody change a note.
What is too much, or meets an API server that is busy, is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import EVENTS

log = logging.getLogger(__name__)

CONTROLLER = "trireme.dev/operator"
ACTION = "Reconcile"
NOTE_BYTES = 1024
"""The API server takes no longer note."""
REASON_MAX = 128
SERIES_SECONDS = 600.0
"""The same again within this time counts up; later it is news. The API server keeps Events for an hour."""
BURST = 20
"""Writes about one object at once."""
REFILL_SECONDS = 30.0
"""After which an object may have one more."""
PENDING_MAX = 256
REMEMBERED_MAX = 4096
"""Objects, and series, of which something is remembered; the oldest are forgotten."""
WRITE_SECONDS = 10.0
"""An API server that keeps us waiting longer is too busy for Events."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass
class _Series:
    about: Mapping[str, Any]
    type: str
    reason: str
    note: str
    seen: float
    """When it last happened, on the monotonic clock."""
    count: int = 1
    name: str = ""
    """Of the Event that was written; empty before."""


@dataclass
class _Allowance:
    left: float
    at: float

    def take(self, now: float) -> bool:
        self.left = min(BURST, self.left + (now - self.at) / REFILL_SECONDS)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class _Recent(OrderedDict[K, V], Generic[K, V]):
    """Forgets what was set first when it becomes too large."""

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > REMEMBERED_MAX:
            self.popitem(last=False)


class Recorder:
    """`client`: one whose limits nothing else waits for. `instance` names the process (the pod's name)."""

    def __init__(
        self,
        client: Client,
        *,
        instance: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._instance = instance[:REASON_MAX]
        self._clock = clock
        self._now = now
        self._series: _Recent[tuple[str, str, str], _Series] = _Recent()
        self._allowances: _Recent[str, _Allowance] = _Recent()
        self._forbidden: _Recent[str, bool] = _Recent()
        """Namespaces in which none may be written: rights differ, and one that is being deleted takes none. Once is
        enough to say so."""
        self._due: asyncio.Queue[_Series] = asyncio.Queue(PENDING_MAX)

    def record(self, about: Mapping[str, Any], kind: str, reason: str, note: str) -> None:
        """`about`: the object, with apiVersion, kind and metadata. `kind`: Normal or Warning."""
        uid, now = about["metadata"]["uid"], self._clock()
        key = uid, reason, note
        series = self._series.get(key)
        if series is not None and now - series.seen < SERIES_SECONDS:
            series.count += 1
            series.seen = now
        else:
            series = self._series[key] = _Series(_reference(about), kind, reason, note, now)
        if uid not in self._allowances:
            self._allowances[uid] = _Allowance(BURST, now)
        if not self._allowances[uid].take(now):
            log.debug("event dropped, too many of one object reason=%s uid=%s", reason, uid)
            return
        try:
            self._due.put_nowait(series)
        except asyncio.QueueFull:
            log.debug("event dropped, too many wait reason=%s uid=%s", reason, uid)

    async def run(self) -> None:
        """Writes what was recorded, until cancelled."""
        while True:
            await self._write(await self._due.get())

    async def _write(self, series: _Series) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                if series.name:
                    await self._count(series)
                else:
                    await self._create(series)
        except (ApiError, TimeoutError) as error:
            log.debug("event dropped reason=%s error=%r", series.reason, error)
            namespace = series.about["namespace"]
            if isinstance(error, ApiError) and error.status == 403 and namespace not in self._forbidden:
                self._forbidden[namespace] = True
                log.warning("events cannot be written, jobs run all the same namespace=%s: %s", namespace, error)

    async def _create(self, series: _Series) -> None:
        name = f"{series.about['name']}.{time.time_ns():x}"
        event = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": series.about["namespace"]},
            "regarding": series.about,
            "type": series.type,
            "reason": series.reason[:REASON_MAX],
            "action": ACTION,
            "note": cut(series.note, NOTE_BYTES),
            "eventTime": _micro_time(self._now()),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
        }
        await self._client.create(EVENTS, series.about["namespace"], event)
        series.name = name

    async def _count(self, series: _Series) -> None:
        seen = {"series": {"count": series.count, "lastObservedTime": _micro_time(self._now())}}
        try:
            await self._client.patch(EVENTS, series.about["namespace"], series.name, seen)
        except ApiError as error:
            if not error.not_found:
                raise
            await self._create(series)  # its time was over, or somebody tidied up


def cut(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8, with an ellipsis where something is missing."""
    data = text.encode()
    return text if len(data) <= size else data[: size - 3].decode(errors="ignore") + "…"


def _reference(about: Mapping[str, Any]) -> dict[str, Any]:
    metadata = about["metadata"]
    return {
        "apiVersion": about["apiVersion"],
        "kind": about["kind"],
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
    }


def _micro_time(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
