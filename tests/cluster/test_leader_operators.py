"""Two operators, each a process of its own, on one API server: one writes at any time, and nothing is made twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.api import session
from cluster.door import Door, Journal, Passage
from support.operating import job, pods
from trireme.cluster.client import Client
from trireme.cluster.resources import PODS, TRAINING_JOBS

LEASE_SECONDS = 4
"""Instead of 15: all times of an election follow from it."""
SLACK_SECONDS = 5.0
"""What a failover may take beyond the lease: 20 s of 15."""
WORKERS = 40


@dataclass
class Candidate:
    process: Process
    door: Door

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@dataclass
class Two:
    candidates: dict[str, Candidate]
    journal: Journal

    async def interrupted(self, client: Client, namespace: str) -> tuple[Candidate, Candidate]:
        """Leader and standby, when the leader is in the middle of a job's launch."""
        await client.create(TRAINING_JOBS, namespace, job(WORKERS))
        passage = await self.journal.until(_creates_pod, count=12)
        leader = self.candidates[passage.door]
        return leader, next(each for each in self.candidates.values() if each is not leader)

    @property
    def writers(self) -> list[str]:
        """Whose writes they were, in turn."""
        return [door for door, _ in groupby(passage.door for passage in self.journal.writes)]


@asynccontextmanager
async def two(
    kubeconfig: dict[str, Any], namespace: str, folder: Path, lease_seconds: int = LEASE_SECONDS
) -> AsyncIterator[Two]:
    """Both compete by now."""
    journal = Journal()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(session(kubeconfig))
        candidates = {}
        for name in ("one", "other"):
            door = await stack.enter_async_context(Door(name, upstream, journal).opened())
            process = await _operator(door, namespace, folder, lease_seconds)
            stack.push_async_callback(_end, process)
            candidates[name] = Candidate(process, door)
        for name in candidates:
            await journal.until(_asks_for_lease(name))
        yield Two(candidates, journal)


FAULTS: dict[str, tuple[Callable[[Candidate], None], Callable[[Candidate], None] | None]] = {
    "paused": (Candidate.pause, Candidate.go_on),
    "killed": (lambda leader: leader.process.kill(), None),
    "cut off": (lambda leader: leader.door.shut(), lambda leader: leader.door.open()),
    "silent": (lambda leader: leader.door.silence(), lambda leader: leader.door.open()),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_when_the_leader_fails_the_other_goes_on_alone(
    kubeconfig: dict[str, Any], client: Client, namespace: str, tmp_path: Path, fault: str
) -> None:
    strike, heal = FAULTS[fault]
    _, begin = await client.list(PODS, namespace)
    async with two(kubeconfig, namespace, tmp_path) as operators:
        leader, standby = await operators.interrupted(client, namespace)
        strike(leader)
        struck = time.monotonic()
        first = await operators.journal.until(lambda passage: passage.writes and passage.door == standby.door.name)
        assert first.at - struck < LEASE_SECONDS + SLACK_SECONDS
        await pods(client, namespace, WORKERS)
        if heal is not None:
            so_far = len(operators.journal.passages)
            heal(leader)
            await operators.journal.until(_asks_for_lease(leader.door.name), begin=so_far)
        await client.create(TRAINING_JOBS, namespace, job(2, "second"))
        await pods(client, namespace, WORKERS + 2)
        assert operators.writers == [leader.door.name, standby.door.name]
    assert await _added(client, namespace, begin) == _once_each()


async def test_a_leader_that_is_told_to_end_hands_over_at_once(
    kubeconfig: dict[str, Any], client: Client, namespace: str, tmp_path: Path
) -> None:
    _, begin = await client.list(PODS, namespace)
    async with two(kubeconfig, namespace, tmp_path, lease_seconds=9) as operators:
        leader, standby = await operators.interrupted(client, namespace)
        leader.process.terminate()
        told = time.monotonic()
        first = await operators.journal.until(lambda passage: passage.writes and passage.door == standby.door.name)
        assert first.at - told < 3
        assert await leader.process.wait() == 0
        await client.create(TRAINING_JOBS, namespace, job(2, "second"))
        await pods(client, namespace, WORKERS + 2)
        assert operators.writers == [leader.door.name, standby.door.name]
    assert await _added(client, namespace, begin) == _once_each()


async def _operator(door: Door, namespace: str, folder: Path, lease_seconds: int) -> Process:
    kubeconfig = folder / f"{door.name}.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(door.kubeconfig), encoding="utf-8")
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trireme.cli", "operator", "--kubeconfig", str(kubeconfig), "--namespace", namespace,
        "--key-file", str(folder / "operator.key"), "--leader-elect", "--lease-namespace", namespace,
        "--lease-seconds", str(lease_seconds),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _creates_pod(passage: Passage) -> bool:
    return passage.method == "POST" and passage.path.endswith("/pods")


def _asks_for_lease(door: str) -> Callable[[Passage], bool]:
    return lambda passage: passage.door == door and passage.method == "GET" and "/leases/" in passage.path


async def _added(client: Client, namespace: str, begin: str) -> Counter[str]:
    """How often a pod of each name came into being."""
    lines = client.watch(PODS, namespace, resource_version=begin, timeout_seconds=1)
    events = [json.loads(line) async for line in lines]
    return Counter(event["object"]["metadata"]["name"] for event in events if event["type"] == "ADDED")


def _once_each() -> Counter[str]:
    names = [f"digits-worker-{index}" for index in range(WORKERS)] + ["second-worker-0", "second-worker-1"]
    return Counter(names)
