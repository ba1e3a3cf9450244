"""What reconcile shall do, as data. `decide` returns it; the controller carries it out, in this order."""

from __future__ import annotations

from dataclasses import dataclass

from trireme.contract.wire import Ruling
from trireme.plan.plan import PodPlan
from trireme.spec.status import JobStatus


@dataclass(frozen=True)
class PodDeletion:
    name: str
    uid: str
    """Precondition: a successor of the same name is never deleted."""
    force: bool = False
    """Without the kubelet's word that it has ended: its node will not say it any more."""


@dataclass(frozen=True)
class PodExpiry:
    """A pod whose time is over: its containers are ended, the pod and its logs stay."""

    name: str
    uid: str


@dataclass(frozen=True)
class Decision:
    status: JobStatus
    """Written first when it differs (write-ahead)."""
    ahead: bool = False
    """Nothing else is decided before this status is written; then the job is looked at again."""
    delete: tuple[PodDeletion, ...] = ()
    expire: tuple[PodExpiry, ...] = ()
    create: tuple[PodPlan, ...] = ()
    """Service, Secret and ConfigMap are made before the first of them."""
    renew: bool = False
    """Those are made again where they are gone: pods have nodes and do not start."""
    poll_coordinator: str = ""
    """IP address of the coordinator's pod when its progress is wanted."""
    ruling: Ruling | None = None
    """What the coordinator is told of a failure that waits for it."""
    look_again_seconds: float | None = None
    """When to reconcile again though nothing happens."""
    remove_job: bool = False
    """The TrainingJob itself goes, and all that is left of it."""
