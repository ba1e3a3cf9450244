"""What the operator remembers of a job between two reconciles. All of it can be lost: the cluster says it again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from trireme.lifecycle.observe import Refusal
from trireme.lifecycle.pod import Pod
from trireme.plan.plan import Plan, Unavailable
from trireme.spec.errors import FieldError


@dataclass(frozen=True)
class Parsed:
    """A job's spec as a plan, or what is wrong with it."""

    generation: int
    attempt: int
    suspensions: int
    plan: Plan | None = None
    errors: tuple[FieldError, ...] = ()
    ttl_seconds: int | None = None
    """Beside errors: what the job says all the same of `cleanup.ttlSecondsAfterFinished`."""
    unavailable: Unavailable | None = None
    """The gang or queue that cannot be had; the plan is without it, and no pod is made by it."""
    tries: int = 0
    """Times in a row that it was not there."""
    ask_again_at: float = math.inf
    """When to look for it again, on the loop's clock."""


@dataclass
class Memory:
    uid: str
    parsed: Parsed | None = None
    supported: str = ""
    """Digest of the plan whose Service, Secret and so on are there."""
    renewed_at: float = -math.inf
    """When they were last made again, on the loop's clock."""
    tried: bool = False
    """Pods of it were tried. Before that a status would say that nothing has happened yet, and cost a write."""
    created: dict[str, Pod] = field(default_factory=dict)
    """Pods by name that the API server confirmed and the informer may not have seen."""
    deleted: set[str] = field(default_factory=set)
    """UIDs of pods whose deletion the API server confirmed."""
    expired: set[str] = field(default_factory=set)
    """UIDs of pods whose time is over, as the API server knows."""
    strangers: dict[str, Pod] = field(default_factory=dict)
    """Pods by name that hold one of our names but carry no label of ours, so that no informer shows them."""
    refused: Refusal | None = None
    """Why an object of the job could not be made when that was last tried."""
    holds: int = 0
    """Times in a row that creation had to stop."""
    hold_until: float = -math.inf
    """Nothing is created before this time of the loop's clock."""
    said_at: float = -math.inf
    """When status was last written, on the loop's clock."""
    quiet_writes: int = 0
    """Status writes since the last one that could not wait."""

    def see(self, shown: Iterable[Pod], version: int) -> list[Pod]:
        """The informer's pods at its `version`, and what we know beyond them."""
        pods = {pod.name: pod for pod in shown}
        self.created = {name: pod for name, pod in self.created.items() if int(pod.resource_version) > version}
        self.strangers = {name: pod for name, pod in self.strangers.items() if name not in pods}
        pods = {**self.strangers, **self.created, **pods}
        return [replace(pod, deleting=True) if pod.uid in self.deleted else pod for pod in pods.values()]
