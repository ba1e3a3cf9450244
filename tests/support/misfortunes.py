"""The misfortunes of the chaos suite: what is done to a training, and what it is to be counted as."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from support.arena import NAMESPACE, Arena
from trireme.cluster.resources import NODES, PODS
from trireme.pocket.kubelet import misfortune

CUT_SECONDS = 1.0
OPERATOR_AWAY_SECONDS = 2.0

Strike = Callable[[Arena, random.Random], Awaitable[None]]


@dataclass(frozen=True)
class Misfortune:
    strike: Strike
    restarts: int = 0
    disruptions: int = 0
    replaced: tuple[int, ...] | None = None
    """How many pods may be replaced, where it is not one for each that is counted: what ends a process ends no pod,
    while there is an operator to ask."""


async def kill_rank(arena: Arena, rng: random.Random) -> None:
    index = rng.randrange(2)
    misfortune.signal_rank(await arena.uid("worker", index), index, signal.SIGKILL)


async def stop_rank(arena: Arena, rng: random.Random) -> None:
    index = rng.randrange(2)
    misfortune.signal_rank(await arena.uid("worker", index), index, signal.SIGSTOP)


async def fill_memory(arena: Arena, rng: random.Random) -> None:
    index = rng.randrange(2)
    misfortune.signal_rank(await arena.uid("worker", index), index, signal.SIGUSR2)


async def kill_pod(arena: Arena, rng: random.Random) -> None:
    """Its agent and all."""
    await _kill(arena, "worker", 1)


async def kill_coordinator(arena: Arena, rng: random.Random) -> None:
    await _kill(arena, "worker", 0)


async def kill_server(arena: Arena, rng: random.Random) -> None:
    await _kill(arena, "server", rng.randrange(2))


async def delete_pod(arena: Arena, rng: random.Random) -> None:
    await arena.client.delete(PODS, NAMESPACE, f"{arena.job}-worker-{rng.randrange(2)}", grace_seconds=1)


async def lose_node(arena: Arena, rng: random.Random) -> None:
    """Never the first one, which holds the cluster's addresses. What Kubernetes' controllers do of it is done here."""
    workers = [await arena.pod("worker", index) for index in range(2)]
    lost = rng.choice([pod for pod in workers if pod["spec"]["nodeName"] != arena.cluster.kubelet.name])
    node = lost["spec"]["nodeName"]
    await arena.nodes[node].lose()
    await arena.client.delete(NODES, None, node)
    name, condition = lost["metadata"]["name"], {"type": "DisruptionTarget", "status": "True"}
    condition |= {"reason": "DeletionByTaintManager", "message": "Taint manager: deleting due to NoExecute taint"}
    status = {"status": {"conditions": [*lost["status"]["conditions"], condition]}}
    await arena.client.patch(PODS, NAMESPACE, name, status, subresource="status")
    await arena.client.delete(PODS, NAMESPACE, name, grace_seconds=1)
    await arena.add_node()


async def cut_network(arena: Arena, rng: random.Random) -> None:
    """Between the two workers, or a worker and a server; new connections are cut as well for a second."""
    others = [("worker", 1), *([("server", 0), ("server", 1)] if arena.job == "digits-ps-sync" else [])]
    one, other = await arena.uid("worker", 0), await arena.uid(*rng.choice(others))
    end = time.monotonic() + CUT_SECONDS
    while time.monotonic() < end:
        misfortune.cut(one, other)
        await asyncio.sleep(0.05)


async def kill_operator(arena: Arena, rng: random.Random) -> None:
    await arena.kill_operator()
    await asyncio.sleep(rng.uniform(0, OPERATOR_AWAY_SECONDS))
    await arena.start_operator()


async def kill_rank_and_operator(arena: Arena, rng: random.Random) -> None:
    """The operator dies somewhere in the restart, and another goes on with it."""
    await kill_rank(arena, rng)
    await asyncio.sleep(rng.uniform(0, 1))
    await kill_operator(arena, rng)


async def _kill(arena: Arena, role: str, index: int) -> None:
    pod = await arena.pod(role, index)
    kubelet = arena.kubelet(pod)
    kubelet.signal(NAMESPACE, pod["metadata"]["name"], signal.SIGKILL, every_process=True)


FOR_ALL = {
    "rank killed": Misfortune(kill_rank, restarts=1, replaced=(0,)),
    "pod killed": Misfortune(kill_pod, restarts=1),
    "coordinator killed": Misfortune(kill_coordinator, restarts=1),
    "pod deleted": Misfortune(delete_pod, disruptions=1),
    "rank stopped": Misfortune(stop_rank, restarts=1),
    "memory full": Misfortune(fill_memory, restarts=1),
    "node lost": Misfortune(lose_node, disruptions=1),
    "operator killed": Misfortune(kill_operator),
    "rank and operator killed": Misfortune(kill_rank_and_operator, restarts=1, replaced=(0, 1)),
}
CUT = Misfortune(cut_network, restarts=1, replaced=(0, 1))
"""One, when nobody notices before the job hangs."""
OF = {
    "horovod": {**FOR_ALL, "network cut": CUT},
    "torch": {**FOR_ALL, "network cut": CUT},
    "ps": {
        **FOR_ALL,
        "network cut": Misfortune(cut_network),  # requests are sent again
        "server killed": Misfortune(kill_server, restarts=1),
    },
}
