"""A training on the pocket cluster that is struck, and when each of its ranks was how far."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support.notes import Note, Notes
from trireme.cluster.client import Client
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.pocket.cluster import PocketCluster
from trireme.pocket.kubelet import misfortune

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("noted.py")
EXAMPLES = {"horovod": "digits-horovod", "torch": "digits-torch", "ps": "digits-ps"}
NAMESPACE = "default"
RANKS = 2
EPOCHS = 100_000
"""It never comes to its end."""
STEP_SECONDS = 0.02
LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 180.0

Object = dict[str, Any]


@dataclass(frozen=True)
class Recovery:
    """Seconds; of the rank that was ready last."""

    next_step: float
    """From the kill to the next step that all ranks have taken part in (parameter server: of the killed rank)."""
    any_step: float
    """To the next step of any rank: a parameter server's other workers go on."""
    until_started: float
    """From the kill until the processes that had to begin again had been started: the part that is not the user's."""
    process_start_and_import: float

    @property
    def without_import(self) -> float:
        return self.next_step - self.process_start_and_import


@dataclass(frozen=True)
class Training:
    cluster: PocketCluster
    client: Client
    kind: str
    name: str
    notes: Notes

    async def until(self, holds: Callable[[list[Note]], bool]) -> list[Note]:
        """The notes once they hold. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds(found := self.notes.all()):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        return found

    async def steady(self) -> None:
        """The job is Running by its status, and every rank steps."""
        since = time.monotonic()
        await self.until(
            lambda notes: len({note.rank for note in notes if note.what == "step" and note.at > since}) == RANKS
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self.status()).get("phase") != "Running":  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def status(self) -> Object:
        return (await self.client.get(TRAINING_JOBS, NAMESPACE, self.name)).get("status") or {}

    async def strike(self, fault: str) -> float:
        """`rank killed`, `pod killed`, `coordinator killed` or `server killed`; returns when."""
        role, index = {"coordinator killed": ("worker", 0), "server killed": ("server", 0)}.get(fault, ("worker", 1))
        pod = f"{self.name}-{role}-{index}"
        uid = (await self.client.get(PODS, NAMESPACE, pod))["metadata"]["uid"]
        at = time.monotonic()
        if fault == "rank killed":
            misfortune.signal_rank(uid, index, signal.SIGKILL)
        else:
            self.cluster.kubelet.signal(NAMESPACE, pod, signal.SIGKILL, every_process=True)
        return at

    async def recovery(self, fault: str) -> Recovery:
        at = await self.strike(fault)
        ranks = {0 if fault == "coordinator killed" else 1} if self.kind == "ps" else set(range(RANKS))
        notes = await self.until(lambda notes: recovered(notes, at, ranks) is not None)
        found = recovered(notes, at, ranks)
        assert found is not None
        return found


def recovered(notes: list[Note], at: float, ranks: set[int]) -> Recovery | None:
    """None while one of the ranks that had to begin again has not taken a step."""
    later = [note for note in notes if note.at > at]
    begun = {note.rank: note for note in later if note.what == "started"}
    ready = {note.rank: note for note in later if note.what == "ready"}
    steps = {rank: step for rank in ready if (step := _first_step(later, ready[rank]))}
    if not ranks <= steps.keys():
        return None
    last = max(ranks, key=lambda rank: ready[rank].at)
    return Recovery(
        next_step=max(steps[rank].at for rank in ranks) - at,
        any_step=min(note.at for note in later if note.what == "step") - at,
        until_started=max(begun[rank].at for rank in ranks) - at,
        process_start_and_import=ready[last].at - begun[last].at,
    )


def _first_step(notes: list[Note], ready: Note) -> Note | None:
    own = (note for note in notes if note.what == "step" and note.rank == ready.rank and note.at > ready.at)
    return next(own, None)


@contextlib.asynccontextmanager
async def training(cluster: PocketCluster, folder: Path, kind: str, scope: str, number: int) -> AsyncIterator[Training]:
    """Runs until the block ends; steady at its beginning."""
    name = f"{kind}-{scope.lower()}-{number}"
    notes = folder / f"{name}.notes"
    async with cluster.client() as client:
        await client.create(TRAINING_JOBS, NAMESPACE, job(kind, scope, name, folder / name, notes))
        try:
            run = Training(cluster, client, kind, name, Notes(notes))
            await run.steady()
            yield run
        finally:
            await client.delete(TRAINING_JOBS, NAMESPACE, name)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (await client.list(PODS, NAMESPACE))[0]:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)


def job(kind: str, scope: str, name: str, checkpoints: Path, notes: Path) -> Object:
    """The example of that kind, paced, without a pause before a restart and with as many as it takes."""
    made: Object = yaml.safe_load((ROOT / f"manifests/examples/{EXAMPLES[kind]}.yaml").read_text(encoding="utf-8"))
    made["metadata"]["name"] = name
    spec, template = made["spec"], made["spec"]["worker"]["template"]["spec"]
    spec["worker"] |= {"replicas": RANKS, "processesPerReplica": 1}
    spec["restart"] = {"limit": 1000, "backoffSeconds": 0, "scope": scope}
    (container,) = template["containers"]
    container["command"] = ["python3", str(SCRIPT), kind, str(EPOCHS), str(STEP_SECONDS), str(notes)]
    if kind == "ps":
        spec["server"], spec["parameterServer"]["backups"] = {"replicas": 2}, 1
    else:
        spec["checkpoint"] = {"directory": "/checkpoints"}
        container["volumeMounts"] = [{"name": "checkpoints", "mountPath": "/checkpoints"}]
        template["volumes"] = [
            {"name": "checkpoints", "hostPath": {"path": str(checkpoints), "type": "DirectoryOrCreate"}}
        ]
    return made
