"""What a term begins with: nothing that was heard before it is believed, and no namespace waits for another."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from support.operating import job
from support.warp import warped
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import Resource
from trireme.contract import names
from trireme.controller.controller import Controller
from trireme.controller.metrics import Metrics
from trireme.controller.settings import Settings
from trireme.pocket.objects.patch import merge_patch

Object = dict[str, Any]
STARTED = {
    "phase": "Running",
    "message": "Running: 1/1 pods",
    "startTime": "2026-01-01T00:00:00Z",
    "conditions": [
        {"type": "Running", "status": "True", "reason": "AllPodsRun", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ],
}


def stored(namespace: str, status: Object) -> Object:
    made = job(replicas=1)
    made["metadata"] |= {"namespace": namespace, "uid": f"{namespace}-uid", "generation": 1, "resourceVersion": "5"}
    made["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return {**made, "status": copy.deepcopy(status)}


def worker(namespace: str) -> Object:
    """The job's only pod; it runs."""
    return {
        "metadata": {
            "name": "digits-worker-0",
            "namespace": namespace,
            "uid": "pod-uid",
            "resourceVersion": "4",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                names.LABEL_JOB: "digits", names.LABEL_ROLE: "worker", names.LABEL_INDEX: "0", names.LABEL_ATTEMPT: "0"
            },
            "ownerReferences": [{"uid": f"{namespace}-uid", "controller": True}],
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "trainer"}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "trainer", "state": {"running": {}}}]},
    }  # fmt: skip


class Api:
    """A client whose watches are half open: they tell nothing, and do not end."""

    def __init__(self) -> None:
        self.jobs: dict[str, Object] = {}
        """By namespace."""
        self.pods: dict[str, list[Object]] = {}
        self.gone: set[str] = set()
        """Namespaces that were deleted, and our rights with them."""
        self.writes: list[str] = []

    def apart(self, writes: object) -> Api:
        return self

    async def list(self, resource: Resource, namespace: str) -> tuple[list[Object], str]:
        self._refuse(resource, namespace)
        return [copy.deepcopy(self.jobs[namespace])] if namespace in self.jobs else [], "9"

    async def pages(self, resource: Resource, namespace: str, **_: object) -> AsyncGenerator[bytes, None]:
        self._refuse(resource, namespace)
        yield json.dumps({"metadata": {"resourceVersion": "9"}, "items": self.pods.get(namespace, [])}).encode()

    async def watch(self, *_: object, **__: object) -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(1e9)
        yield b""

    async def kinds(self, api_version: str) -> frozenset[str]:
        return frozenset()

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        return copy.deepcopy(self.jobs[namespace])

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        self.writes.append(f"create {resource.plural} in {namespace}")
        return {**body, "metadata": {**body["metadata"], "namespace": namespace, "uid": "new", "resourceVersion": "10"}}

    async def patch(self, resource: Resource, namespace: str, name: str, body: Object, **_: object) -> Object:
        job = self.jobs[namespace]
        version = str(int(job["metadata"]["resourceVersion"]) + 1)
        job["status"] = merge_patch(job["status"], body["status"])
        job["metadata"] = {**job["metadata"], "resourceVersion": version}
        self.writes.append(f"{job['status']['message']} in {namespace}")
        return copy.deepcopy(job)

    def _refuse(self, resource: Resource, namespace: str) -> None:
        if namespace in self.gone:
            raise ApiError("list", 403, "Forbidden", f'{resource.plural} is forbidden in the namespace "{namespace}"')


def operate(test: Callable[[Api, Controller], Coroutine[Any, Any, None]], *namespaces: str) -> None:
    async def main() -> None:
        api: Any = Api()
        await test(api, Controller(api, b"k" * 32, Settings(namespaces=namespaces), Metrics(process=False)))

    warped(main())


async def lead(controller: Controller, seconds: float) -> None:
    """One term."""
    try:
        async with asyncio.timeout(seconds):
            await controller.work()
    except TimeoutError:
        pass


def test_a_new_leader_believes_no_watch_that_fell_silent_while_it_stood_by() -> None:
    async def test(api: Api, controller: Controller) -> None:
        async with controller.running():
            api.jobs["team"], api.pods["team"] = stored("team", STARTED), [worker("team")]  # the former leader's work
            await lead(controller, 10)
        assert [write.partition(";")[0] for write in api.writes] == ["Running: 1/1 pods"]

    operate(test, "team")


def test_a_namespace_that_has_gone_keeps_no_other_waiting() -> None:
    async def test(api: Api, controller: Controller) -> None:
        api.jobs = {name: stored(name, {}) for name in ("gone", "team")}
        api.gone = {"gone"}
        async with asyncio.timeout(600), controller.running():
            await lead(controller, 10)
            assert "create pods in team" in api.writes
            assert "create pods in gone" not in api.writes
            controller.heard("ADDED", api.jobs["gone"])  # its pods are not known
            await lead(controller, 10)
            assert "create pods in gone" not in api.writes
            api.gone.clear()
            await lead(controller, 60)
        assert "create pods in gone" in api.writes

    operate(test, "gone", "team")


def test_without_any_namespace_nothing_begins() -> None:
    async def test(api: Api, controller: Controller) -> None:
        api.gone = {"team", "other"}
        ready = asyncio.Event()

        async def run() -> None:
            async with controller.running():
                ready.set()

        running = asyncio.create_task(run())
        await asyncio.sleep(300)
        assert not ready.is_set()
        api.gone = {"other"}
        async with asyncio.timeout(120):
            await running

    operate(test, "team", "other")
