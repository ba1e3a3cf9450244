"""An operator under test, a kubelet's part played by hand, and ways to wait for what they bring about."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import EVENTS, PODS, TRAINING_JOBS, Resource
from trireme.cluster.transport import Request
from trireme.controller import handlers
from trireme.controller.settings import Settings

Object = dict[str, Any]

JOB: Object = {
    "apiVersion": "trireme.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "digits"},
    "spec": {
        "worker": {
            "replicas": 2,
            "template": {
                "spec": {
                    "schedulerName": "none",  # on a real cluster no node takes the pods: the test says how they are
                    "containers": [{"name": "trainer", "image": "python:3.11", "command": ["python3", "train.py"]}],
                }
            },
        }
    },
}


def job(replicas: int = 2, name: str = "digits") -> Object:
    made = copy.deepcopy(JOB)
    made["metadata"]["name"] = name
    made["spec"]["worker"]["replicas"] = replicas
    return made


class Operator:
    """Starts and ends operators; keeps the writes that they made, and may stop dead at one of them."""

    def __init__(self, settings: Settings, patch: pytest.MonkeyPatch) -> None:
        self.writes: list[str] = []
        self.settings = settings
        self.die_at: int | None = None
        """The write with this number is carried out, and its answer never heard; 0 is not even sent."""
        self.dead = asyncio.Event()
        operator = self
        turn = asyncio.Lock()

        class Recorded(Client):
            async def _write(self, request: Request) -> bytes:
                async with turn:
                    await operator._live()
                    operator.writes.append(str(request))
                    answer = await super()._write(request)
                    await operator._live()
                    return answer

        patch.setattr(handlers, "Client", Recorded)

    @contextlib.asynccontextmanager
    async def running(self, **changes: Any) -> AsyncIterator[None]:
        """An operator that ends by itself ends the test."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(handlers.run(replace(self.settings, **changes), stop))
            try:
                yield
            finally:
                stop.set()

    async def _live(self) -> None:
        if self.die_at == len(self.writes):
            self.dead.set()
            await asyncio.Event().wait()


async def until(
    client: Client, resource: Resource, namespace: str, holds: Callable[[dict[str, Object]], bool]
) -> dict[str, Object]:
    """The objects by name as soon as `holds` says yes of them. Bears the faults that the operator is to bear."""
    while True:
        try:
            items, version = await client.list(resource, namespace)
            found = {item["metadata"]["name"]: item for item in items}
            return await _watch_until(client, resource, namespace, holds, found, version)
        except ApiError as error:
            if not (error.gone or error.retriable):
                raise
            await asyncio.sleep(0.05)


async def _watch_until(
    client: Client,
    resource: Resource,
    namespace: str,
    holds: Callable[[dict[str, Object]], bool],
    found: dict[str, Object],
    version: str,
) -> dict[str, Object]:
    while not holds(found):
        async with contextlib.aclosing(client.watch(resource, namespace, resource_version=version)) as lines:
            async for line in lines:
                event = json.loads(line)
                obj = event["object"]
                version = obj["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                found[obj["metadata"]["name"]] = obj
                if event["type"] == "DELETED":
                    del found[obj["metadata"]["name"]]
                if holds(found):
                    return found
    return found


async def pods(client: Client, namespace: str, count: int) -> dict[str, Object]:
    return await until(client, PODS, namespace, lambda found: len(found) == count)


async def phase(client: Client, namespace: str, wanted: str, name: str = "digits") -> Object:
    """The job once it is in that phase."""
    found = await until(
        client, TRAINING_JOBS, namespace, lambda jobs: jobs.get(name, {}).get("status", {}).get("phase") == wanted
    )
    return found[name]


async def announced(client: Client, namespace: str, *reasons: str) -> dict[str, Object]:
    """The job's Events by reason, once there is one of each."""
    async with asyncio.timeout(60):
        while True:
            found, _ = await client.list(EVENTS, namespace)
            ours = {each["reason"]: each for each in found if each["regarding"].get("kind") == "TrainingJob"}
            if set(reasons) <= ours.keys():
                return ours
            await asyncio.sleep(0.05)


async def told(client: Client, namespace: str, text: str, name: str = "digits") -> Object:
    """The job once its message contains the text."""
    found = await until(
        client, TRAINING_JOBS, namespace, lambda jobs: text in jobs.get(name, {}).get("status", {}).get("message", "")
    )
    return found[name]


async def play(client: Client, namespace: str, pod: str, state: Object, pod_phase: str) -> None:
    """Says of a pod's trainer what a kubelet would."""
    status = {
        "phase": pod_phase,
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "containerStatuses": [
            {"name": "trainer", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        ],
    }
    await client.patch(PODS, namespace, pod, {"status": status}, subresource="status")


async def run_all(client: Client, namespace: str, found: dict[str, Object]) -> None:
    for name in found:
        await play(client, namespace, name, {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "Running")


async def end_all(client: Client, namespace: str, found: dict[str, Object], code: int = 0) -> None:
    ended = {"exitCode": code, "reason": "Error" if code else "Completed", "finishedAt": "2026-01-01T00:01:00Z"}
    for name in found:
        await play(client, namespace, name, {"terminated": ended}, "Failed" if code else "Succeeded")
