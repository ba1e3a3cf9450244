"""One launch by the operator, one by a raw client, both seen by the same watch; and the pods' life, played by hand."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.api import JOBS, Api, Object
from support.process import Process, Raw
from trireme.contract import names
from trireme.plan import manifests
from trireme.plan.planner import plan
from trireme.spec.parse import parse

CONCURRENCY = 32
"""Requests under way at once: as many as the operator's default."""
EVENTS = 2000
"""Of pods, for the price of one: enough that it stands out of a clock of 10 ms."""
UID = "11111111-2222-4333-8444-555555555555"


def job(namespace: str, name: str, workers: int) -> Object:
    container = {"name": "trainer", "image": "python:3.11", "command": ["python3", "train.py"]}
    template = {"spec": {"schedulerName": "none", "containers": [container]}}
    return {
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"worker": {"replicas": workers, "template": template}},
    }


@dataclass
class Seen:
    """When each object of a namespace was first seen, on the monotonic clock."""

    pods: dict[str, dict[str, float]] = field(default_factory=dict)
    """By job, by name."""
    done: set[str] = field(default_factory=set)
    """Jobs that have succeeded."""
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self.news:
            await self.news.wait_for(holds)

    def count(self) -> int:
        return sum(map(len, self.pods.values()))


@contextlib.asynccontextmanager
async def watching(api: Api, namespace: str) -> AsyncIterator[Seen]:
    seen = Seen()

    async def pods() -> None:
        async for event in api.watch(f"/api/v1/namespaces/{namespace}/pods"):
            if event["type"] == "ADDED":
                meta = event["object"]["metadata"]
                seen.pods.setdefault(meta["labels"][names.LABEL_JOB], {})[meta["name"]] = time.monotonic()
                await _tell(seen)

    async def jobs() -> None:
        async for event in api.watch(f"{JOBS}/namespaces/{namespace}/trainingjobs"):
            if event["object"].get("status", {}).get("phase") == "Succeeded":
                seen.done.add(event["object"]["metadata"]["name"])
                await _tell(seen)

    tasks = [asyncio.create_task(pods()), asyncio.create_task(jobs())]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()


async def _tell(seen: Seen) -> None:
    async with seen.news:
        seen.news.notify_all()


async def many(calls: Iterable[Callable[[], Awaitable[Any]]]) -> None:
    """CONCURRENCY at once, in their order."""
    left = iter(calls)

    async def some() -> None:
        for call in left:
            await call()

    await asyncio.gather(*(some() for _ in range(CONCURRENCY)))


async def raw(api: Api, client: Raw, namespace: str, jobs: int, workers: int) -> dict[str, Any]:
    """The same pods from a process that does nothing else."""
    await client.prepare(namespace, jobs, workers)
    async with watching(api, namespace) as seen:
        began = time.monotonic()
        await client.go()
        await seen.until(lambda: seen.count() == jobs * workers)
        return {"pods_per_second": round(jobs * workers / (_last(seen) - began), 1)}


def raw_manifests(namespace: str, name: str, workers: int) -> list[Object]:
    """What the operator would create, without owners: a garbage collector would take pods of owners that are not."""
    submitted = copy.deepcopy(job(namespace, name, workers))
    submitted["metadata"]["uid"] = UID
    planned = plan(parse(submitted), attempt=0, agent="0123456789abcdef")
    made = [manifests.pod(planned, pod) for pod in planned.pods]
    for manifest in made:
        manifest["metadata"].pop("ownerReferences")
    return made


async def launch(api: Api, operator: Process, namespace: str, jobs: int, workers: int) -> dict[str, Any]:
    """Submits, waits for all pods, lets them run and end, waits for all verdicts."""
    requests, cpu = await operator.requests(), operator.cpu()
    async with watching(api, namespace) as seen:
        submitted: dict[str, float] = {}

        async def submit(name: str) -> None:
            submitted[name] = time.monotonic()
            await api.send("POST", f"{JOBS}/namespaces/{namespace}/trainingjobs", job(namespace, name, workers))

        began = time.monotonic()
        await many((lambda index=index: submit(f"j{index}")) for index in range(jobs))
        await seen.until(lambda: seen.count() == jobs * workers)
        delays = sorted(max(seen.pods[name].values()) - at for name, at in submitted.items())
        seconds = _last(seen) - began
        await asyncio.sleep(1.5)  # statuses that were due
        launched, launch_cpu = await operator.requests() - requests, operator.cpu() - cpu
        events, cpu = await operator.events(), operator.cpu()
        pods = [name for found in seen.pods.values() for name in found]
        await _play(api, namespace, pods, "Running", {"running": {"startedAt": "2026-01-01T00:00:00Z"}})
        await asyncio.sleep(1.5)
        running_cpu, running = operator.cpu() - cpu, await operator.events() - events
        interleaved = [name for same in itertools.zip_longest(*seen.pods.values()) for name in same if name]
        spread = await churn(api, operator, namespace, interleaved)
        one = await churn(api, operator, namespace, list(next(iter(seen.pods.values()))))
        before_the_end, cpu = await operator.events(), operator.cpu()
        ended = {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-01-01T00:01:00Z"}
        await _play(api, namespace, pods, "Succeeded", {"terminated": ended})
        await seen.until(lambda: len(seen.done) == jobs)
        life_cpu = running_cpu + operator.cpu() - cpu
        heard = running["pods"] + (await operator.events() - before_the_end)["pods"]
    total = await operator.requests() - requests
    return {
        "pods_per_second": round(jobs * workers / seconds, 1),
        "all_pods_seconds": {"p50": round(_quantile(delays, 0.5), 3), "p99": round(_quantile(delays, 0.99), 3)},
        "launch_requests_per_job": _per(launched, jobs),
        "launch_writes_per_job": round(sum(_writes(launched).values()) / jobs, 2),
        "life_writes_per_job": _per(_writes(total), jobs),
        "status_patches_per_job": round(total["patch trainingjobs/status"] / jobs, 2),
        "launch_cpu_ms_per_pod": round(1000 * launch_cpu / (jobs * workers), 3),
        "pod_events_of_all_jobs_in_turn": spread,
        "pod_events_of_one_job": one,
        "life_cpu_us_per_pod_event": round(1e6 * life_cpu / heard, 1),
        "rss_mib": round(operator.rss() / 2**20, 1),
    }


async def clear(api: Api, namespaces: Sequence[str]) -> None:
    """Away with the jobs and pods of a round: the next one is not to pay for what lies in the server's memory."""
    for namespace in namespaces:
        for path in (f"{JOBS}/namespaces/{namespace}/trainingjobs", f"/api/v1/namespaces/{namespace}/pods"):
            await api.send("DELETE", path, {"gracePeriodSeconds": 0})
            while (await api.send("GET", f"{path}?limit=1"))["items"]:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    await asyncio.sleep(1.0)  # whoever watches them


async def churn(api: Api, operator: Process, namespace: str, pods: Sequence[str]) -> dict[str, Any]:
    """The price of pod events that are looked at and turn out to be no news: the pods' messages change."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    heard, looks, cpu = await operator.events(), await operator.reconciles(), operator.cpu()

    async def change(number: int) -> None:
        name = pods[number % len(pods)]
        await api.send("PATCH", f"{path}/{name}/status", {"status": {"message": str(number)}})

    await many((lambda number=number: change(number)) for number in range(EVENTS))
    await asyncio.sleep(0.5)  # the last of them
    used = operator.cpu() - cpu
    events = (await operator.events() - heard)["pods"]
    return {
        "events": events,
        "reconciles": await operator.reconciles() - looks,
        "cpu_us_per_event": round(1e6 * used / events, 1),
        "events_per_cpu_second": round(events / used),
    }


async def finished_jobs(api: Api, namespace: str, count: int) -> None:
    """Jobs that have succeeded already when the operator looks at them."""
    at = "2026-01-01T00:00:00Z"
    done = {"type": "Succeeded", "status": "True", "reason": "AllRanksDone", "message": "", "lastTransitionTime": at}

    async def one(name: str) -> None:
        made = {**job(namespace, name, 1)}
        made["spec"]["suspend"] = True  # so that nothing is made of it in between
        await api.send("POST", f"{JOBS}/namespaces/{namespace}/trainingjobs", made)
        path = f"{JOBS}/namespaces/{namespace}/trainingjobs/{name}/status"
        await api.send("PATCH", path, {"status": {"phase": "Succeeded", "conditions": [done]}})

    await many((lambda index=index: one(f"done{index}")) for index in range(count))


async def idle(operator: Process, seconds: float) -> float:
    """CPU in percent of one core."""
    before = operator.cpu()
    await asyncio.sleep(seconds)
    return 100 * (operator.cpu() - before) / seconds


async def _play(api: Api, namespace: str, pods: Sequence[str], phase: str, state: Object) -> None:
    """Without addresses: there are no coordinators that could be asked."""
    container = {"name": "trainer", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    body = {"status": {"phase": phase, "containerStatuses": [container]}}
    path = f"/api/v1/namespaces/{namespace}/pods"
    await many((lambda name=name: api.send("PATCH", f"{path}/{name}/status", body)) for name in pods)


def _last(seen: Seen) -> float:
    return max(at for found in seen.pods.values() for at in found.values())


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _writes(requests: dict[str, int]) -> dict[str, int]:
    return {what: n for what, n in requests.items() if what.split()[0] in ("create", "update", "patch", "delete")}


def _per(counts: dict[str, int], jobs: int) -> dict[str, float]:
    return {what: round(count / jobs, 2) for what, count in sorted(counts.items()) if count}
