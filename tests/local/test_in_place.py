"""Ranks that die on a pocket cluster, operator and all: which pods stay, what starts again, and what is counted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.operating import until
from trireme.cluster.client import Client
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.pocket.cluster import PocketCluster
from trireme.pocket.kubelet import misfortune

SECONDS = 60
STEPPING = """
import os, sys, time
from pathlib import Path
import trireme_worker
folder = Path(sys.argv[1])
with (folder / "starts").open("a") as notes:
    print(os.environ["RANK"], os.environ["TRIREME_ATTEMPT"], file=notes)
trireme_worker.report(step=(step := 0))
while not (folder / "done").exists():
    trireme_worker.report(step=(step := step + 1))
    time.sleep(0.05)
"""
SILENT = STEPPING.replace("    trireme_worker.report(step=(step := step + 1))\n", "")
EXITING = STEPPING.replace(
    "trireme_worker.report",
    "sys.exit('no such dataset') if os.environ['RANK'] == '1' else None\ntrireme_worker.report",
    1,
)

Object = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    client: Client
    folder: Path

    async def submit(self, script: str, **spec: Any) -> None:
        command = ["python3", "-c", script, str(self.folder)]
        container = {"name": "trainer", "image": "img", "command": command}
        worker = {"replicas": 2, "template": {"spec": {"containers": [container]}}}
        job = {"apiVersion": "trireme.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "j"}}
        await self.client.create(TRAINING_JOBS, "default", {**job, "spec": {"worker": worker, **spec}})

    async def status(self, holds: Callable[[Object], Any]) -> Object:
        """The job's status once it holds."""
        found = await until(
            self.client, TRAINING_JOBS, "default", lambda jobs: bool(holds(jobs["j"].get("status") or {}))
        )
        said: Object = found["j"]["status"]
        return said

    async def running(self, restarts: int = 0) -> None:
        """And the operator hears of progress."""
        await self.status(lambda said: (said.get("phase"), said.get("restarts", 0)) == ("Running", restarts))
        await self.status(lambda said: said.get("progress"))

    async def stepping(self) -> None:
        """Two further reports have come to the operator."""
        first = (await self.status(lambda said: said.get("progress")))["progress"]["step"]
        await self.status(lambda said: said["progress"]["step"] != first)

    async def started(self, *ranks: str) -> None:
        """Processes of these ranks and attempts have started since the job began, and no others."""
        while sorted(self.starts()) != sorted(ranks):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def starts(self) -> list[str]:
        notes = self.folder / "starts"
        return notes.read_text().splitlines() if notes.exists() else []

    async def uids(self) -> dict[str, str]:
        pods, _ = await self.client.list(PODS, "default")
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}

    async def kill(self, rank: int) -> None:
        misfortune.signal_rank((await self.uids())[f"j-worker-{rank}"], rank, signal.SIGKILL)

    async def done(self) -> Object:
        (self.folder / "done").touch()
        return await self.status(lambda said: "completionTime" in said)


@pytest.fixture
async def trial(tmp_path: Path) -> AsyncIterator[Trial]:
    async with asyncio.timeout(SECONDS), PocketCluster(tmp_path / "cluster") as cluster, cluster.client() as client:
        yield Trial(client, tmp_path)


def counted(status: Object) -> tuple[str, int, int, int]:
    return status["phase"], status["attempt"], status.get("restarts", 0), status.get("disruptions", 0)


def restarting(conditions: list[Object]) -> tuple[datetime, str]:
    """Since when, to the second below, and whether."""
    found = next(each for each in conditions if each["type"] == "Restarting")
    return datetime.fromisoformat(found["lastTransitionTime"]), found["status"]


@pytest.mark.parametrize("victim", [0, 1])
async def test_a_killed_rank_starts_again_in_its_pod(trial: Trial, victim: int) -> None:
    await trial.submit(STEPPING)
    await trial.running()
    await trial.started("0 0", "1 0")
    pods = await trial.uids()
    await trial.kill(victim)
    told = await trial.status(lambda said: said["attempt"] == 1)
    assert (told["phase"], told["message"], told["workersReady"]) == (
        "Restarting",
        f"Restarting 1/3: worker-{victim}, rank {victim}: ended by SIGKILL; its processes start again in its pod",
        "2/2",
    )
    await trial.running(restarts=1)
    await trial.started("0 0", "1 0", "0 1", "1 1")
    assert await trial.uids() == pods
    done = await trial.done()
    assert (counted(done), done["failure"]["pod"]) == (("Succeeded", 1, 1, 0), f"j-worker-{victim}")


async def test_a_parameter_servers_worker_starts_again_alone(trial: Trial) -> None:
    await trial.submit(STEPPING, strategy="ParameterServer", server={"replicas": 1})
    await trial.running()
    await trial.started("0 0", "1 0")
    pods = await trial.uids()
    await trial.kill(1)
    await trial.running(restarts=1)
    await trial.started("0 0", "1 0", "1 1")
    assert await trial.uids() == pods
    assert counted(await trial.done()) == ("Succeeded", 1, 1, 0)


async def test_a_rank_that_made_a_step_in_between_may_start_again_twice(trial: Trial) -> None:
    await trial.submit(STEPPING, restart={"backoffSeconds": 0})
    await trial.running()
    pods = await trial.uids()
    for restarts in (1, 2):
        await trial.stepping()
        await trial.kill(1)
        await trial.running(restarts)
    assert await trial.uids() == pods
    assert counted(await trial.done()) == ("Succeeded", 2, 2, 0)


async def test_without_a_step_in_between_the_pod_is_replaced(trial: Trial) -> None:
    await trial.submit(SILENT, restart={"backoffSeconds": 0})
    await trial.running()
    await trial.started("0 0", "1 0")
    pods = await trial.uids()
    await trial.kill(1)
    await trial.running(restarts=1)
    await trial.started("0 0", "1 0", "0 1", "1 1")
    await trial.kill(1)
    await trial.running(restarts=2)
    now = await trial.uids()
    assert [name for name in pods if now[name] == pods[name]] == ["j-worker-0"]
    assert counted(await trial.done()) == ("Succeeded", 2, 2, 0)


async def test_the_pause_between_restarts_is_kept(trial: Trial) -> None:
    await trial.submit(STEPPING, restart={"backoffSeconds": 2})
    await trial.running()
    await trial.stepping()
    await trial.kill(1)
    await trial.running(restarts=1)
    await trial.stepping()
    await trial.kill(1)
    told = await trial.status(lambda said: said["restarts"] == 2)
    assert told["message"].startswith("Restarting 2/3, after a pause of 2s: worker-1, rank 1: ended by SIGKILL")
    await trial.running(restarts=2)
    over = (await trial.done())["conditions"]
    assert restarting(over)[0] - restarting(told["conditions"])[0] >= timedelta(seconds=2)
    assert [restarting(each)[1] for each in (told["conditions"], over)] == ["True", "False"]


async def test_the_limit_counts_what_starts_again_in_its_pod(trial: Trial) -> None:
    await trial.submit(EXITING, restart={"limit": 3, "backoffSeconds": 0})
    failed = await trial.status(lambda said: "completionTime" in said)
    assert (counted(failed), failed["message"]) == (
        ("Failed", 3, 3, 0), "Failed: worker-1, rank 1: exit code 1: no such dataset; 3 restarts before",
    )  # fmt: skip
    assert failed["failure"]["logTail"] == ["no such dataset"]
    assert sorted(start for start in trial.starts() if start.startswith("1 ")) == ["1 0", "1 1", "1 2", "1 3"]


async def test_a_permanent_exit_code_ends_the_job_at_once(trial: Trial) -> None:
    await trial.submit(EXITING, restart={"permanentExitCodes": [1]})
    failed = await trial.status(lambda said: "completionTime" in said)
    assert (counted(failed), failed["message"]) == (
        ("Failed", 0, 0, 0), "Failed: worker-1, rank 1: exit code 1: no such dataset",
    )  # fmt: skip
