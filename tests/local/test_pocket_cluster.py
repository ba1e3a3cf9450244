"""trireme.pocket.cluster: the whole pocket cluster comes up, runs a job, and leaves nothing, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from trireme.cluster.client import Client
from trireme.cluster.resources import NAMESPACES, NODES, PODS, TRAINING_JOBS
from trireme.contract import names
from trireme.controller import handlers
from trireme.pocket.cluster import PocketCluster
from trireme.pocket.kubelet import procfs
from trireme.pocket.kubelet.addresses import Block, NoAddress

PATIENCE_SECONDS = 60.0


def job(*command: str, replicas: int = 2) -> dict[str, Any]:
    container = {"name": "trainer", "image": "busybox", "command": list(command)}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "j"},
        "spec": {"worker": {"replicas": replicas, "template": {"spec": {"containers": [container]}}}},
    }


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def until(client: Client, phase: str) -> dict[str, Any]:
    """The job's status when it has reached that phase."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await client.get(TRAINING_JOBS, "default", "j")
            if found.get("status", {}).get("phase") == phase:
                return dict(found["status"])
            version = found["metadata"]["resourceVersion"]
            async for line in client.watch(TRAINING_JOBS, "default", resource_version=version):
                if json.loads(line)["object"].get("status", {}).get("phase") == phase:
                    break


async def test_a_job_from_start_to_end(tmp_path: Path) -> None:
    async with PocketCluster(tmp_path / "cluster") as cluster, cluster.client() as client:
        await client.create(TRAINING_JOBS, "default", job("true"))
        status = await until(client, "Succeeded")
    assert status["workers"]["succeeded"] == 2


async def test_what_it_consists_of(tmp_path: Path) -> None:
    async with PocketCluster(tmp_path / "cluster", gpus=3) as cluster, cluster.client() as client:
        assert cluster.kubeconfig_path.stat().st_mode & 0o777 == 0o600
        (node,) = (await client.list(NODES))[0]
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "3"
        namespaces = {each["metadata"]["name"] for each in (await client.list(NAMESPACES))[0]}
        assert {"default", "kube-system"} <= namespaces
        assert (await client.list(TRAINING_JOBS))[0] == []


async def test_it_leaves_nothing_while_a_job_runs(tmp_path: Path) -> None:
    async with PocketCluster(tmp_path / "cluster") as cluster, cluster.client() as client:
        await client.create(TRAINING_JOBS, "default", job("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"))
        await until(client, "Running")
    assert files(tmp_path) == []
    assert procfs.children(os.getpid()) == []


async def test_two_clusters_beside_each_other(tmp_path: Path) -> None:
    """The coordinators of both jobs listen on the same port, of different addresses."""

    async def addresses(cluster: PocketCluster) -> set[str]:
        async with cluster.client() as client:
            await client.create(TRAINING_JOBS, "default", job("sleep", "1000"))
            await until(client, "Running")
            return {pod["status"]["podIP"] for pod in (await client.list(PODS, "default"))[0]}

    async with PocketCluster(tmp_path / "a") as a, PocketCluster(tmp_path / "b") as b:
        assert len(await addresses(a) | await addresses(b)) == 4


async def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    async with PocketCluster(tmp_path):
        assert len(files(tmp_path)) > 1
    assert files(tmp_path) == ["mine"]


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="address already in use"):
        async with PocketCluster(tmp_path / "cluster", port=taken.getsockname()[1]):
            pytest.fail("it must not come up")
    assert files(tmp_path) == []


async def test_a_failure_midway_undoes_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> Block:
        raise NoAddress("no block is left")

    monkeypatch.setattr(Block, "claim", none_left)
    before = asyncio.all_tasks()
    with pytest.raises(NoAddress, match="no block is left"):
        async with PocketCluster(tmp_path / "cluster"):
            pytest.fail("it must not come up")
    assert files(tmp_path) == []
    assert asyncio.all_tasks() == before


async def test_a_part_that_fails_ends_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the operator broke")

    monkeypatch.setattr(handlers, "run", broken)
    with pytest.raises(RuntimeError, match="the operator broke"):
        async with PocketCluster(tmp_path / "cluster"):
            await asyncio.sleep(PATIENCE_SECONDS)
    assert files(tmp_path) == []


async def test_an_error_of_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with PocketCluster(tmp_path / "cluster"):
            raise LookupError("mine")
    assert files(tmp_path) == []


async def test_cancelled_while_it_comes_up(tmp_path: Path) -> None:
    async def use() -> None:
        async with PocketCluster(tmp_path / "cluster"):
            await asyncio.sleep(PATIENCE_SECONDS)

    for turns in range(0, 60, 6):
        task = asyncio.create_task(use())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert files(tmp_path) == []
