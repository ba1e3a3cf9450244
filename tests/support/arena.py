"""Where the chaos suite takes place: a pocket cluster of three nodes, an operator that can be killed, one training."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from support.operating import until
from trireme.cluster.client import Client
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.pocket.cluster import PocketCluster
from trireme.pocket.kubelet.kubelet import Kubelet

ROOT = Path(__file__).parents[2]
TRAINER = ROOT / "benchmarks/support/noted.py"
NAMESPACE = "default"
STEP_SECONDS = 0.02
HANG_SECONDS = 6
NODES = 3
"""One GPU each: every worker has a node of its own, and there is one to spare."""
LOOK_SECONDS = 0.05

Object = dict[str, Any]


class _Unmanned(PocketCluster):
    """Its operator is a process of its own, which can be killed."""

    def _run_operator(self, stack: AsyncExitStack) -> None:
        """The arena does."""


@dataclass(frozen=True)
class Note:
    """A step that a rank has taken; `at` on the monotonic clock."""

    rank: int
    generation: int
    step: int
    at: float


@dataclass
class Arena:
    folder: Path
    cluster: PocketCluster
    client: Client
    job: str = ""
    nodes: dict[str, Kubelet] = field(default_factory=dict)
    operator: asyncio.subprocess.Process | None = None

    @property
    def notes_path(self) -> Path:
        return self.folder / "notes"

    def notes(self) -> list[Note]:
        text = self.notes_path.read_text() if self.notes_path.exists() else ""
        lines = [
            line.split() for line in text.splitlines(keepends=True) if line.startswith("step") and line[-1] == "\n"
        ]
        return [Note(int(rank), int(generation), int(step), float(at)) for _, rank, generation, step, at in lines]

    async def submit(self, kind: str, epochs: int) -> None:
        made = job(kind, epochs, self.folder)
        self.job = made["metadata"]["name"]
        await self.client.create(TRAINING_JOBS, NAMESPACE, made)

    async def pod(self, role: str, index: int) -> Object:
        return await self.client.get(PODS, NAMESPACE, f"{self.job}-{role}-{index}")

    async def pods(self) -> dict[str, str]:
        """The node of each, by UID."""
        found = (await self.client.list(PODS, NAMESPACE))[0]
        return {pod["metadata"]["uid"]: pod["spec"].get("nodeName", "") for pod in found}

    async def uid(self, role: str, index: int) -> str:
        return str((await self.pod(role, index))["metadata"]["uid"])

    def kubelet(self, pod: Object) -> Kubelet:
        return self.nodes[pod["spec"]["nodeName"]]

    async def until(self, holds: Callable[[Object], bool]) -> Object:
        """The job's status as soon as it holds."""
        found = await until(
            self.client, TRAINING_JOBS, NAMESPACE, lambda jobs: holds(jobs[self.job].get("status") or {})
        )
        status: Object = found[self.job]["status"]
        return status

    async def stepping(self, since: float, ranks: int) -> None:
        """Every rank has taken a step after `since`."""
        while len({note.rank for note in self.notes() if note.at > since}) < ranks:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)

    async def start_operator(self) -> None:
        command = ["-m", "trireme.cli", "operator", "--kubeconfig", str(self.cluster.kubeconfig_path)]
        command += ["--key-file", str(self.folder / "operator.key")]
        source = os.pathsep.join([str(ROOT / "operator"), str(ROOT / "images/worker")])
        with (self.folder / "operator.log").open("ab") as log:
            self.operator = await asyncio.create_subprocess_exec(
                sys.executable, *command, env={**os.environ, "PYTHONPATH": source}, stdout=log, stderr=log
            )

    async def kill_operator(self) -> None:
        if self.operator is not None:
            self.operator.kill()
            await self.operator.wait()

    async def add_node(self) -> None:
        """Another node of one GPU, on which pods of the others can be found."""
        first = self.cluster.kubelet
        name = f"pocket-{len(self.nodes) + 1}"
        (self.folder / name).mkdir()
        kubelet = Kubelet(self.client, self.folder / name, name=name, gpus=1, addresses=first.addresses)
        await kubelet.start()
        self.nodes[name] = kubelet


@asynccontextmanager
async def arena(folder: Path) -> AsyncIterator[Arena]:
    async with _Unmanned(folder / "cluster", gpus=1) as cluster, cluster.client() as client:
        made = Arena(folder, cluster, client, nodes={cluster.kubelet.name: cluster.kubelet})
        try:
            while len(made.nodes) < NODES:
                await made.add_node()
            await made.start_operator()
            yield made
        finally:
            await made.kill_operator()
            for name, kubelet in made.nodes.items():
                if name != cluster.kubelet.name:
                    await kubelet.stop()
                    (folder / name).rmdir()  # nothing of its pods is left in it


def job(kind: str, epochs: int, folder: Path) -> Object:
    """The example of that kind, paced; checkpoints in the folder. `kind`: horovod, torch or ps.

    Of the parameter server's rules Sync: the others wait for a worker that is replaced, as they do in an allreduce, so
    that all are still there when the next misfortune comes.
    """
    example = {"ps": "digits-ps-sync", "horovod": "digits-horovod", "torch": "digits-torch"}[kind]
    made: Object = next(yaml.safe_load_all((ROOT / f"manifests/examples/{example}.yaml").read_text(encoding="utf-8")))
    spec, worker = made["spec"], made["spec"]["worker"]
    worker |= {"replicas": 2, "processesPerReplica": 1}
    (container,) = worker["template"]["spec"]["containers"]
    container["command"] = [
        "python3", str(TRAINER), kind, str(epochs), str(STEP_SECONDS), str(folder / "notes"),
    ]  # fmt: skip
    container["resources"]["limits"] = {"memory": "900Mi", "nvidia.com/gpu": 1}
    spec["restart"] = {"limit": 50, "backoffSeconds": 0}
    spec["deadlines"] = {"hangSeconds": HANG_SECONDS}
    if kind == "ps":
        spec["server"] = {"replicas": 2}
        spec["parameterServer"]["backups"] = 1
    else:
        spec["checkpoint"] = {"directory": "/checkpoints"}
        container["volumeMounts"] = [{"name": "checkpoints", "mountPath": "/checkpoints"}]
        where = {"path": str(folder / "checkpoints"), "type": "DirectoryOrCreate"}
        worker["template"]["spec"]["volumes"] = [{"name": "checkpoints", "hostPath": where}]
    return made


def left_behind(folder: Path) -> list[str]:
    """Processes that were started with something of the folder, and files that nobody should have left there."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and str(folder) in "\0".join(process.environ().values()):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    meant = {"checkpoints", "notes", "operator.log", "operator.key"}
    found += [str(path) for path in folder.iterdir() if path.name not in meant]
    found += [str(path) for path in (folder / "checkpoints").glob("*") if not path.name.startswith("step-")]
    return found
