"""Operators and a job's real coordinator: a rank fails, is counted once and starts again; the test plays the agents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.operating import Operator, announced, job, phase, pods, run_all, until
from trireme.cluster.client import Client
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.contract import codec, names, wire
from trireme.controller import key
from trireme.controller.settings import Settings
from trireme_worker import client as agents
from trireme_worker import holding
from trireme_worker.membership import Terms
from trireme_worker.service import CoordinatorService

NAMES = ["digits-worker-0", "digits-worker-1"]
KILLED = {"exit_code": 137, "reason": "Signal", "message": "ended by SIGKILL", "signal": "SIGKILL"}

Object = dict[str, Any]


@pytest.fixture
def operator(kubeconfig_path: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    settings = Settings(kubeconfig=kubeconfig_path, namespaces=(namespace,), key_file=tmp_path / "operator.key")
    return Operator(settings, monkeypatch)


@dataclass(frozen=True)
class Agents:
    """Of two pods, one rank each."""

    line: agents.Client
    uids: list[str]

    async def join(self, generation: int = 0) -> list[wire.Joined]:
        """Both, at the same time; what they hear."""
        return list(await asyncio.gather(*(self.join_one(index, generation) for index in range(2))))

    async def beat(self, index: int, state: wire.State, **fields: Any) -> wire.Orders:
        beat = wire.Beat("worker", index, self.uids[index], fields.pop("generation", 1), state, **fields)
        return codec.decode(wire.Orders, await self.line.call("POST", wire.BEAT_PATH, codec.encode(beat), seconds=10))

    async def fail(self, generation: int = 1) -> wire.Orders:
        failure = wire.Failure("worker", 1, at=time.time(), rank=1, **KILLED)
        return await self.beat(1, wire.State.FAILED, failure=failure, generation=generation)

    async def join_one(self, index: int, generation: int) -> wire.Joined:
        join = wire.Join(
            "worker", index, self.uids[index], 1, f"10.0.0.{index}", NAMES[index], "node", 5000, generation=generation
        )
        while True:
            answer = await self.line.call("POST", wire.JOIN_PATH, codec.encode(join), seconds=10)
            joined = codec.decode(wire.Joined, answer)
            if not joined.missing:
                return joined


@asynccontextmanager
async def training(
    operator: Operator, client: Client, namespace: str, patch: pytest.MonkeyPatch, **spec: Any
) -> AsyncIterator[Agents]:
    """A job whose first generation trains, whose coordinator the operator has heard, and of which all is written."""
    patch.setattr(holding, "RULING_SECONDS", 60.0)  # an operator may take its time to start beside other tests
    patch.setattr(holding, "LISTENING_SECONDS", 60.0)
    made = job()
    made["spec"] |= spec
    created = await client.create(TRAINING_JOBS, namespace, made)
    found = await pods(client, namespace, 2)
    token = wire.token(key.load(operator.settings.key_file), created["metadata"]["uid"])
    service = CoordinatorService(Terms(2, join_seconds=60, restarts=True), token)
    await service.start("127.0.0.1", 0)
    patch.setattr(names, "COORDINATOR_PORT", service.port)
    line = agents.Client("127.0.0.1", service.port, token)
    try:
        await run_all(client, namespace, found)
        known = Agents(line, [found[name]["metadata"]["uid"] for name in NAMES])
        await known.join()
        await known.beat(0, wire.State.RUNNING, progress={0: wire.Progress(7)})
        await until(
            client, TRAINING_JOBS, namespace, lambda jobs: bool(jobs["digits"].get("status", {}).get("progress"))
        )
        await announced(client, namespace, "Running")
        yield known
    finally:
        line.close()
        await service.close()


async def running_again(client: Client, namespace: str, restarts: int) -> Object:
    def holds(jobs: dict[str, Object]) -> bool:
        said = jobs["digits"]["status"]
        return (said["phase"], said["restarts"]) == ("Running", restarts)

    found = await until(client, TRAINING_JOBS, namespace, holds)
    status: Object = found["digits"]["status"]
    return status


async def test_a_rank_starts_again_in_its_pod_within_a_budget_of_writes(
    operator: Operator, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with operator.running(), training(operator, client, namespace, monkeypatch) as known:
        before = len(operator.writes)
        assert (await known.fail()).order is wire.Order.REJOIN
        generations = [joined.generation for joined in await known.join(generation=1)]
        status = await running_again(client, namespace, 1)
        events = await announced(client, namespace, "Restarting")
        now = await pods(client, namespace, 2)
    written = [write for write in operator.writes[before:] if "events" not in write]
    assert [generation and (generation.number, generation.attempt) for generation in generations] == [(2, 1)] * 2
    assert [now[name]["metadata"]["uid"] for name in NAMES] == known.uids
    assert [write.split()[0] for write in written] == ["PATCH", "PATCH"], written  # counted, running again
    text = "Restarting 1/3: worker-1, rank 1: ended by SIGKILL; its processes start again in its pod"
    assert (events["Restarting"]["note"], status["failure"]["pod"]) == (text, "digits-worker-1")


async def test_an_operator_that_died_before_it_told_the_coordinator_is_followed_by_one_that_tells_it(
    operator: Operator, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = AsyncExitStack()
    await first.enter_async_context(operator.running())
    async with first, training(operator, client, namespace, monkeypatch) as known:
        operator.die_at = len(operator.writes) + 1
        await known.fail()
        joining = asyncio.create_task(known.join(generation=1))
        await operator.dead.wait()
        await first.aclose()
        assert not joining.done()
        operator.die_at = None
        async with operator.running():
            generations = [joined.generation for joined in await joining]
            status = await running_again(client, namespace, 1)
    assert [generation and generation.attempt for generation in generations] == [1, 1]
    assert (status["attempt"], status["restarts"]) == (1, 1)


async def test_a_failure_that_ends_the_job_lets_the_pod_go_and_writes_nothing(
    operator: Operator, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    restart = {"permanentExitCodes": [137]}
    async with operator.running(), training(operator, client, namespace, monkeypatch, restart=restart) as known:
        before = len(operator.writes)
        await known.fail()
        joined = await known.join_one(1, generation=1)
        assert (joined.failure and joined.failure.exit_code, len(operator.writes)) == (137, before)


async def test_a_job_that_is_deleted_meanwhile_leaves_nothing(
    operator: Operator, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with operator.running(), training(operator, client, namespace, monkeypatch) as known:
        await known.fail()
        await phase(client, namespace, "Restarting")
        await client.delete(TRAINING_JOBS, namespace, "digits")
        await until(client, PODS, namespace, lambda found: not found)
