"""Who leads, as a value: a coordination.k8s.io/v1 Lease, what one candidate has seen of it, and what follows from that.

Pure. The times written in the lease are for people: no candidate's wall clock is compared with another's. What counts
is for how long, on its own monotonic clock, a candidate has seen the lease unchanged (as client-go's elector does).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from trireme.cluster.resources import LEASES

Object = dict[str, Any]


@dataclass(frozen=True)
class Terms:
    """The times of an election, all from one, in client-go's proportions of 15 : 10 : 2."""

    lease_seconds: int = 15
    """So long after its last sign of life a leader's lease is still its own. Whole seconds: the API holds no parts."""

    @property
    def renew_seconds(self) -> float:
        """So long after it last asked for the lease, and got it, a leader may write. The third that is left to the end
        of the lease allows for clocks that run differently and requests that travel slowly."""
        return self.lease_seconds * 2 / 3

    @property
    def attempt_seconds(self) -> float:
        """One try's time-out: a connection that fell silent leaves time for another try before the leader must stop."""
        return self.lease_seconds / 3

    @property
    def retry_seconds(self) -> float:
        """The longest pause between two tries; a released lease is noticed after so long at the latest."""
        return self.lease_seconds * 2 / 15


@dataclass(frozen=True)
class Lease:
    version: str
    """Resource version: another one after each renewal."""
    holder: str
    """Identity of the leader; empty: nobody's."""
    seconds: float
    """How long it is the holder's after its last change: the holder's own word, whatever our terms are."""
    transitions: int


@dataclass(frozen=True)
class Sighting:
    """The lease as it was last seen to change; None: seen to be missing."""

    lease: Lease | None
    free_at: float
    """From this time of the observer's clock on it is nobody's, unless it changes before."""


class Action(Enum):
    WAIT = "wait"
    CREATE = "create"
    TAKE = "take"
    """From nobody, or from a holder that fell silent."""
    RENEW = "renew"


def of_object(obj: Mapping[str, Any], terms: Terms) -> Lease:
    spec = obj.get("spec") or {}
    return Lease(
        version=obj["metadata"]["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        seconds=spec.get("leaseDurationSeconds") or terms.lease_seconds,
        transitions=spec.get("leaseTransitions") or 0,
    )


def sight(last: Sighting | None, lease: Lease | None, now: float) -> Sighting:
    """What is known after `lease` has just been read.

    A lease that vanished (somebody deleted it) may still have a leader that has not noticed, so its time is waited for.
    """
    if last is not None and last.lease == lease:
        return last
    if lease is None:
        seen = last.lease if last is not None else None
        return Sighting(None, now + (seen.seconds if seen is not None else 0))
    return Sighting(lease, now + (lease.seconds if lease.holder else 0))


def decide(seen: Sighting, identity: str, now: float) -> Action:
    if seen.lease is not None and seen.lease.holder == identity:
        return Action.RENEW
    if now < seen.free_at:
        return Action.WAIT
    return Action.CREATE if seen.lease is None else Action.TAKE


def claim(lease: Lease | None, identity: str, terms: Terms, utc: datetime) -> Object:
    """What to write to have, or keep, `lease`; with its version, so that of several claims one succeeds."""
    now = _micro_time(utc)
    spec: Object = {"holderIdentity": identity, "leaseDurationSeconds": terms.lease_seconds, "renewTime": now}
    if lease is None:
        return {"spec": {**spec, "acquireTime": now, "leaseTransitions": 0}}
    if lease.holder != identity:
        spec |= {"acquireTime": now, "leaseTransitions": lease.transitions + 1}
    return {"metadata": {"resourceVersion": lease.version}, "spec": spec}


def release(lease: Lease, utc: datetime) -> Object:
    """What to write so that others need not wait; the API takes no empty holder."""
    return {
        "metadata": {"resourceVersion": lease.version},
        "spec": {"holderIdentity": None, "renewTime": _micro_time(utc)},
    }


def manifest(namespace: str, name: str, claim: Object) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, **claim, "metadata": metadata}


def _micro_time(utc: datetime) -> str:
    """metav1.MicroTime."""
    return utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
