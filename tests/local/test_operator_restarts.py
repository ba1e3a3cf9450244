"""A training that loses a rank, a pod or its coordinator's pod goes on: operator, agents and frameworks together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from support.operating import until
from trireme.cluster.client import Client
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.pocket.cluster import PocketCluster

EXAMPLES = Path(__file__).parents[2] / "manifests/examples"
SECONDS = 120

Object = dict[str, Any]


def rank(number: int, below: Path) -> psutil.Process:
    """The process of a rank, somewhere below this one. `below`: the cluster's folder."""
    for process in psutil.Process().children(recursive=True):
        try:
            environ = process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if environ.get("RANK") == str(number) and str(below) in environ.get("TRIREME_TERMINATION_LOG", ""):
            return process
    raise AssertionError(f"no process is rank {number}")


async def stepping(client: Client, name: str, holds: Any) -> Object:
    """The job's status once it holds and a step was reported."""
    found = await until(
        client,
        TRAINING_JOBS,
        "default",
        lambda jobs: "progress" in jobs[name].get("status", {}) and holds(jobs[name]["status"]),
    )
    status: Object = found[name]["status"]
    return status


async def kill_rank(client: Client, job: str, folder: Path) -> None:
    rank(1, folder).kill()


async def delete_pod(client: Client, job: str, folder: Path) -> None:
    await client.delete(PODS, "default", f"{job}-worker-1", grace_seconds=0)


async def delete_coordinator(client: Client, job: str, folder: Path) -> None:
    await client.delete(PODS, "default", f"{job}-worker-0", grace_seconds=0)


FAULTS = {"rank": (kill_rank, 1, 0), "pod": (delete_pod, 0, 1), "coordinator": (delete_coordinator, 0, 1)}
"""What is done, and the restarts and disruptions that it counts as."""


@pytest.mark.parametrize(
    ("fault", "example"),
    [("rank", "digits-horovod"), ("rank", "digits-torch"), ("pod", "digits-torch"), ("coordinator", "digits-horovod")],
)
async def test_a_training_outlives(fault: str, example: str, tmp_path: Path) -> None:
    strike, restarts, disruptions = FAULTS[fault]
    job = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text(encoding="utf-8"))
    async with (
        asyncio.timeout(SECONDS),
        PocketCluster(tmp_path / "cluster") as cluster,
        cluster.client() as client,
    ):
        await client.create(TRAINING_JOBS, "default", job)
        await stepping(client, example, lambda status: status["phase"] == "Running")
        survivors, _ = await client.list(PODS, "default")
        await strike(client, example, tmp_path)
        done = await stepping(client, example, lambda status: "completionTime" in status)
        left, _ = await client.list(PODS, "default")
    counted = {key: done.get(key) for key in ("phase", "attempt", "restarts", "disruptions")}
    expected = {"phase": "Succeeded", "attempt": 1, "restarts": restarts, "disruptions": disruptions}
    assert counted == expected, done["message"]
    assert done["progress"]["metrics"]["accuracy"] >= 0.95
    stayed = {pod["metadata"]["uid"] for pod in survivors} & {pod["metadata"]["uid"] for pod in left}
    assert len(stayed) == len(survivors) - 1
