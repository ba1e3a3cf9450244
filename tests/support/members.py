"""Joins and beats as the agents of a job send them, for tests of the coordinator."""

from __future__ import annotations

from dataclasses import replace

from trireme.contract.wire import Beat, Failure, Join, Progress, State
from trireme_worker.coordinator import Coordinator
from trireme_worker.membership import Terms


def worker(index: int, life: int = 0, *, generation: int = 0, slots: int = 1) -> Join:
    """`life`: 0 for the first pod of this name, 1 for its successor."""
    uid, hostname = f"uid-{index}-{life}", f"digits-worker-{index}"
    return Join("worker", index, uid, slots, f"10.0.{life}.{index}", hostname, "node", 5000 + index, "", generation)


def server(index: int, life: int = 0, *, generation: int = 0) -> Join:
    uid, hostname = f"server-uid-{index}-{life}", f"digits-server-{index}"
    return Join("server", index, uid, 0, f"10.1.{life}.{index}", hostname, "node", 6000 + index, "", generation)


def beat(join: Join, generation: int = 1, state: State = State.RUNNING, **fields: object) -> Beat:
    return replace(Beat(join.role, join.index, join.incarnation, generation, state), **fields)  # type: ignore[arg-type]


def steps(**reported: int) -> dict[int, Progress]:
    """`r0=3`: rank 0 has done 3 steps."""
    return {int(rank[1:]): Progress(step) for rank, step in reported.items()}


def failure(join: Join, code: int = 137, reason: str = "Signal", message: str = "ended by SIGKILL") -> Failure:
    return Failure(join.role, join.index, code, reason, message, 1.0, join.index, log_tail=("last line",))


def formed(terms: Terms, joins: list[Join], now: float = 0.0) -> Coordinator:
    coordinator = Coordinator(terms, now)
    for join in joins:
        coordinator.join(join, now)
    return coordinator
