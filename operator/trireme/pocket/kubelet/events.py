"""Events for `kubectl describe`. They are a courtesy: they never hold up or break what they tell of."""

from __future__ import annotations

import asyncio
import logging
import time

from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import EVENTS
from trireme.pocket.kubelet.crilog import timestamp
from trireme.pocket.kubelet.environment import Object

_NOTE_MAX = 1024
"""Characters (events.k8s.io/v1 Event.note)."""

_log = logging.getLogger(__name__)


class Recorder:
    """Writes each distinct event of a pod once."""

    def __init__(self, client: Client, component: str, host: str) -> None:
        self._client = client
        self._component = f"trireme.dev/pocket-{component}"
        self._host = host
        self._told: dict[str, set[tuple[str, str]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def record(self, pod: Object, kind: str, reason: str, message: str) -> None:
        """`kind` is Normal or Warning."""
        told = self._told.setdefault(pod["metadata"]["uid"], set())
        if (reason, message) in told:
            return
        told.add((reason, message))
        task = asyncio.create_task(self._write(pod["metadata"]["namespace"], self._event(pod, kind, reason, message)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, uid: str) -> None:
        self._told.pop(uid, None)

    def forget_all_but(self, uids: set[str]) -> None:
        self._told = {uid: told for uid, told in self._told.items() if uid in uids}

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, namespace: str, event: Object) -> None:
        try:
            await self._client.create(EVENTS, namespace, event)
        except ApiError as error:
            _log.debug("event %s not written: %s", event["reason"], error)

    def _event(self, pod: Object, kind: str, reason: str, message: str) -> Object:
        metadata, now = pod["metadata"], time.time_ns()
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": f"{metadata['name']}.{now:x}", "namespace": metadata["namespace"]},
            "regarding": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": kind,
            "reason": reason,
            "action": reason,
            "note": message[:_NOTE_MAX],
            "eventTime": timestamp(now)[:26] + "Z",
            "reportingController": self._component,
            "reportingInstance": self._host,
        }
