"""Binds pending pods to nodes, and says of each that fits nowhere why. `fit` decides; this reads and writes."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.informer import Informer
from trireme.cluster.resources import NODES, PODS, Resource
from trireme.pocket.fit import Unschedulable, fit, requests, usage
from trireme.pocket.kubelet.container import to_text
from trireme.pocket.kubelet.events import Recorder
from trireme.pocket.whole import Whole, decode

Object = dict[str, Any]

NAME = "default-scheduler"
CONCURRENCY = 16
"""Bindings under way at a time."""
_STRATEGIC = "application/strategic-merge-patch+json"
_RETRY_SECONDS = 1.0
_ALL = ("", "")
"""The one key under which an informer keeps all its records."""

_log = logging.getLogger(__name__)


class Scheduler:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._events = Recorder(client, "scheduler", NAME)
        self._changed = asyncio.Event()
        self._pods = self._informer(client, PODS)
        self._nodes = self._informer(client, NODES)
        self._assumed: dict[str, str] = {}
        """UID -> node of the pods whose binding has not come back as an event yet."""
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pods.run())
                tasks.create_task(self._nodes.run())
                await self._pods.synced.wait()
                await self._nodes.synced.wait()
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await self._schedule()
        finally:
            await self._events.close()

    def _informer(self, client: Client, resource: Resource) -> Informer[Whole]:
        return Informer(client, resource, decode=decode, key=lambda _: _ALL, changed=lambda _: self._changed.set())

    async def _schedule(self) -> None:
        """One pass over the pods that wait, the most important and then the oldest first."""
        pods = [record.object for record in self._pods.of(_ALL)]
        self._forget_all_but({pod["metadata"]["uid"] for pod in pods})
        waiting = sorted((pod for pod in pods if self._waits(pod)), key=_precedence)
        if not waiting:
            return
        nodes = [record.object for record in self._nodes.of(_ALL)]
        used = usage(self._placed(pod) for pod in pods)
        writes = []
        for pod in waiting:
            found = fit(pod, nodes, used)
            if isinstance(found, Unschedulable):
                writes.append(self._refuse(pod, found.message))
            else:
                self._assumed[pod["metadata"]["uid"]] = found
                node = used.setdefault(found, {})
                for resource, amount in requests(pod).items():
                    node[resource] = node.get(resource, 0) + amount
                writes.append(self._bind(pod, found))
        await asyncio.gather(*writes)

    def _forget_all_but(self, uids: set[str]) -> None:
        self._assumed = {uid: node for uid, node in self._assumed.items() if uid in uids}
        self._events.forget_all_but(uids)

    def _waits(self, pod: Object) -> bool:
        spec, metadata = pod["spec"], pod["metadata"]
        if spec.get("nodeName"):
            self._assumed.pop(metadata["uid"], None)
            return False
        return not (
            metadata["uid"] in self._assumed
            or metadata.get("deletionTimestamp")
            or spec.get("schedulingGates")
            or spec.get("schedulerName", NAME) != NAME
        )

    def _placed(self, pod: Object) -> Object:
        node = self._assumed.get(pod["metadata"]["uid"])
        return pod if node is None else {**pod, "spec": {**pod["spec"], "nodeName": node}}

    async def _bind(self, pod: Object, node: str) -> None:
        metadata = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            async with self._slots:
                await self._client.create_subresource(PODS, metadata["namespace"], metadata["name"], "binding", body)
        except ApiError as error:
            self._assumed.pop(metadata["uid"], None)
            self._retry_later(pod, error)
        else:
            message = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
            self._events.record(pod, "Normal", "Scheduled", message)

    async def _refuse(self, pod: Object, message: str) -> None:
        metadata, conditions = pod["metadata"], (pod.get("status") or {}).get("conditions") or []
        before: Object = next((condition for condition in conditions if condition["type"] == "PodScheduled"), {})
        if before.get("message") == message:
            return
        now = to_text(time.time())
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": before.get("lastTransitionTime") if before.get("status") == "False" else now,
        }
        body = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [condition]}}
        self._events.record(pod, "Warning", "FailedScheduling", message)
        try:
            async with self._slots:
                await self._client.patch(
                    PODS,
                    metadata["namespace"],
                    metadata["name"],
                    body,
                    subresource="status",
                    content_type=_STRATEGIC,
                )
        except ApiError as error:
            self._retry_later(pod, error)

    def _retry_later(self, pod: Object, error: ApiError) -> None:
        """A pod that is gone or changed wakes us by its own event; other troubles pass with time."""
        if not (error.not_found or error.conflict):
            _log.warning("%(namespace)s/%(name)s: ", pod["metadata"], exc_info=error)
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._changed.set)


def _precedence(pod: Object) -> tuple[int, str, str]:
    metadata = pod["metadata"]
    return -int(pod["spec"].get("priority") or 0), metadata["creationTimestamp"], metadata["name"]
