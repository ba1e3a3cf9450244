"""The elastic examples while they grow and shrink: operator, agents and frameworks together."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.operating import until
from trireme.cluster.client import Client
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.pocket.cluster import PocketCluster
from trireme.pocket.kubelet import misfortune

EXAMPLES = Path(__file__).parents[2] / "manifests/examples"
SECONDS = 170
EPOCHS = 10
"""Two ranks take 450 steps, 23 seconds or more when paced: a generation that is not 20 seconds old takes nobody in."""
pytestmark = pytest.mark.timeout(SECONDS + 10)
PACED = """
import sys, time
from trireme_worker.examples import digits, {module} as example

where = example if hasattr(example, "report") else digits
report = where.report

def paced(**values):
    time.sleep(0.05)
    report(**values)

where.report = paced
sys.argv[1:] = ["--epochs", "{epochs}"]
example.main()
"""
"""The example with longer steps: there is time for something to happen, and little for the processors to do."""

Object = dict[str, Any]


async def status(client: Client, name: str, holds: Any) -> Object:
    """The job's status once it holds."""
    found = await until(client, TRAINING_JOBS, "default", lambda jobs: bool(holds(jobs[name].get("status") or {})))
    said: Object = found[name]["status"]
    return said


async def scale(client: Client, name: str, replicas: int) -> None:
    await client.patch(TRAINING_JOBS, "default", name, {"spec": {"replicas": replicas}}, subresource="scale")


def training(example: str, **worker: Any) -> Object:
    job: Object = next(yaml.safe_load_all((EXAMPLES / f"{example}.yaml").read_text(encoding="utf-8")))
    trainer = job["spec"]["worker"]["template"]["spec"]["containers"][0]
    module = trainer["command"][2].rpartition(".")[2]
    trainer["command"] = ["python3", "-c", PACED.format(module=module, epochs=EPOCHS)]
    job["spec"]["worker"] |= worker
    return job


@asynccontextmanager
async def stepping(folder: Path, job: Object) -> AsyncIterator[Client]:
    """Of a cluster on which the job has made its first step."""
    async with asyncio.timeout(SECONDS), PocketCluster(folder / "cluster") as cluster, cluster.client() as client:
        await client.create(TRAINING_JOBS, "default", job)
        await status(client, job["metadata"]["name"], lambda said: said.get("progress", {}).get("step", 0) > 0)
        yield client


def check(done: Object) -> None:
    """It has learned, and nothing was counted."""
    counted = {key: done.get(key, 0) for key in ("phase", "attempt", "restarts", "disruptions")}
    told = [done["message"], *done.get("failure", {}).get("logTail", ())]
    assert counted == {"phase": "Succeeded", "attempt": 0, "restarts": 0, "disruptions": 0}, "\n".join(told)
    assert done["progress"]["metrics"]["accuracy"] >= 0.95


THIRD_TRAINED = {
    "digits-elastic-horovod": lambda progress: progress["metrics"]["processes"] == 3,
    "digits-elastic-torch": lambda progress: progress["totalSteps"] == EPOCHS * -(-1437 // (16 * 3)),
    "digits-elastic-ps": lambda progress: progress["percent"] == 100,  # rank 0 does not see who else is there
}


@pytest.mark.parametrize("example", THIRD_TRAINED)
async def test_an_example_takes_in_a_third_pod_while_it_trains(example: str, tmp_path: Path) -> None:
    async with stepping(tmp_path, training(example)) as client:
        await scale(client, example, 3)
        await status(client, example, lambda said: said["workersReady"] == "3/3")
        done = await status(client, example, lambda said: "completionTime" in said)
    check(done)
    assert THIRD_TRAINED[example](done["progress"])


@pytest.mark.parametrize("example", ["digits-elastic-torch", "digits-elastic-ps"])
async def test_an_example_goes_on_when_it_is_scaled_down_and_up_again_at_once(example: str, tmp_path: Path) -> None:
    async with stepping(tmp_path, training(example, replicas=3)) as client:
        leaver = await uid(client, example)
        await scale(client, example, 2)
        await status(client, example, lambda said: "shrunkTo" in said)
        await scale(client, example, 3)
        await status(client, example, lambda said: said["workersReady"] == "3/3" and "shrunkTo" not in said)
        assert await uid(client, example) != leaver
        await scale(client, example, 2)
        await status(client, example, lambda said: said["workersReady"] == "2/2")
        check(await status(client, example, lambda said: "completionTime" in said))


async def uid(client: Client, name: str) -> str:
    """Of the third worker."""
    return str((await client.get(PODS, "default", f"{name}-worker-2"))["metadata"]["uid"])


async def test_a_killed_rank_starts_again_in_its_pod_and_the_other_goes_on_in_its_process(tmp_path: Path) -> None:
    example = "digits-elastic-horovod"
    async with stepping(tmp_path, training(example)) as client:
        pods = await uids(client, example)
        survivor = misfortune.rank(pods[0], 0)
        misfortune.signal_rank(pods[1], 1, signal.SIGKILL)
        await status(client, example, lambda said: again(said) == ("True", 1))
        await status(client, example, lambda said: again(said) == ("False", 1))
        assert (misfortune.rank(pods[0], 0), await uids(client, example)) == (survivor, pods)
        done = await status(client, example, lambda said: "completionTime" in said)
    assert (done["phase"], done["attempt"], done["restarts"]) == ("Succeeded", 1, 1), done["message"]
    assert done["progress"]["metrics"]["accuracy"] >= 0.95


def again(said: Object) -> tuple[str, int]:
    """Whether it restarts, and how often it has."""
    restarting = next((each["status"] for each in said["conditions"] if each["type"] == "Restarting"), "")
    return restarting, said.get("restarts", 0)


async def uids(client: Client, name: str) -> list[str]:
    """Of the first two workers' pods."""
    found = [await client.get(PODS, "default", f"{name}-worker-{index}") for index in range(2)]
    return [pod["metadata"]["uid"] for pod in found]
