"""`trireme logs` on the pocket cluster: real processes write, the command shows."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.contract import names
from trireme.pocket.cluster import PocketCluster

ROOT = Path(__file__).parents[2]
SECONDS = 60
STEPS = """
import os, sys, time
for step in range(5):
    print("step", step, flush=True)
    time.sleep(0.2)
sys.exit(int(os.environ["RANK"]) == 1 and {code})
"""


def job(code: int) -> dict[str, Any]:
    container = {"name": "trainer", "image": "img", "command": ["python3", "-c", STEPS.format(code=code)]}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "talk"},
        "spec": {
            "worker": {"replicas": 2, "template": {"spec": {"containers": [container]}}},
            "restart": {"limit": 0, "scope": "All"},  # a pod that waits for the failed one would go with its log
        },
    }


async def trireme(kubeconfig: Path, *arguments: str) -> tuple[int | None, list[str], list[str]]:
    """Exit code and the lines of output and errors."""
    environ = {**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT / "operator")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trireme.cli", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environ,
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        out, error = await process.communicate()
    return process.returncode, out.decode().splitlines(), error.decode().splitlines()


@pytest.mark.parametrize(("code", "end"), [(0, "Succeeded: 2 pods"), (3, "Failed: worker-1, rank 1: exit code 3")])
async def test_logs_are_followed_from_before_the_start_to_the_end(tmp_path: Path, code: int, end: str) -> None:
    async with PocketCluster(tmp_path / "cluster") as cluster, cluster.client() as client:
        await client.create(TRAINING_JOBS, "default", job(code))
        followed = await trireme(cluster.kubeconfig_path, "logs", "-f", "talk")
        kept = await trireme(cluster.kubeconfig_path, "logs", "talk")
        one = await trireme(cluster.kubeconfig_path, "logs", "talk", "--rank", "1", "--tail", "2")
    for exit_code, out, _ in (followed, kept):
        assert exit_code == 0
        for rank in (0, 1):
            assert [line for line in out if line.startswith(f"[{rank}] step")] == [
                f"[{rank}] step {step}" for step in range(5)
            ]
        assert all(re.match(r"\[[01]\] |worker-[01] \[agent\] ", line) for line in out)
    assert [line for line in followed[2] if line.startswith(f"trireme: {end}")]
    assert one[1] == ["[1] step 3", "[1] step 4"]


async def test_logs_of_a_failed_job_end_though_its_pods_are_kept(tmp_path: Path) -> None:
    """Worker 1 waits for a successor of worker 0, which hosted the coordinator: nobody is left to tell it."""
    made = job(3)
    made["spec"] |= {"restart": {"limit": 0}, "cleanup": {"pods": "None"}}
    (container,) = made["spec"]["worker"]["template"]["spec"]["containers"]
    container["command"][2] = container["command"][2].replace('["RANK"]) == 1', '["RANK"]) == 0')
    async with PocketCluster(tmp_path / "cluster") as cluster, cluster.client() as client:
        await client.create(TRAINING_JOBS, "default", made)
        code, out, said = await trireme(cluster.kubeconfig_path, "logs", "-f", "talk")
        pods = {pod["metadata"]["name"]: pod["status"] for pod in (await client.list(PODS, "default"))[0]}
    assert (code, [line for line in out if line == "[1] step 4"]) == (0, ["[1] step 4"])
    assert [line for line in said if line.startswith("trireme: Failed: worker-0, rank 0: exit code 3")]
    assert {name: (each["phase"], each.get("reason")) for name, each in pods.items()} == {
        "talk-worker-0": ("Failed", None),
        "talk-worker-1": ("Failed", "DeadlineExceeded"),
    }
