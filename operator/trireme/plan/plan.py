"""The Plan: what a job needs, before it is written as Kubernetes objects. Values only; passes return new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from trireme.spec.model import TrainingJob


@dataclass(frozen=True)
class PodPlan:
    """One pod of a rank group."""

    role: str
    index: int
    slots: int
    """Ranks in the pod; 0: a server."""
    name: str
    shards: int = 0
    """1: the pod carries a shard of the parameter server."""


@dataclass(frozen=True)
class Layout:
    """What a strategy decides: which pods there are and how its backend is tuned."""

    pods: tuple[PodPlan, ...]
    """Workers in the order of their ranks, then servers."""
    environment: tuple[tuple[str, str], ...]
    """Variables that every trainer container gets beside its own place."""


ApiKind = tuple[str, str]
"""apiVersion and kind."""


@dataclass(frozen=True)
class Unavailable:
    """What a job asks for by name and the cluster does not have. Nothing is made until it has."""

    reason: str
    """CamelCase, for conditions and Events."""
    message: str


class GroupKind(Enum):
    """The kinds of object that make pods a gang; each value is an ApiKind."""

    NATIVE_V1BETA1 = ("scheduling.k8s.io/v1beta1", "PodGroup")
    """Kubernetes 1.37."""
    NATIVE_V1ALPHA2 = ("scheduling.k8s.io/v1alpha2", "PodGroup")
    """Kubernetes 1.36."""
    NATIVE_V1ALPHA1 = ("scheduling.k8s.io/v1alpha1", "Workload")
    """Kubernetes 1.35: the groups are entries of a Workload."""
    VOLCANO = ("scheduling.volcano.sh/v1beta1", "PodGroup")
    COSCHEDULING = ("scheduling.x-k8s.io/v1alpha1", "PodGroup")
    """Of kubernetes-sigs/scheduler-plugins."""


@dataclass(frozen=True)
class Plan:
    """Everything one attempt of a job consists of."""

    job: TrainingJob
    attempt: int
    agent: str
    """Content hash of agent.pyz."""
    pods: tuple[PodPlan, ...]
    environment: tuple[tuple[str, str], ...]
    """Variables that every trainer container gets beside its own place; they are in `templates` too."""
    templates: Mapping[str, Mapping[str, Any]]
    """By role, metadata and spec that all its pods share, as one value: a plan of 10,000 pods holds it once."""
    digest: str
    """Hash of what decides the pods' manifests, but for the agent; pods carry it as an annotation."""
    gang: GroupKind | None = None
    """What makes the pods a gang; None: each is placed by itself, or a queue admits them."""

    def of(self, role: str) -> tuple[PodPlan, ...]:
        return tuple(pod for pod in self.pods if pod.role == role)

    @property
    def minimum(self) -> int:
        """Pods with which the job starts and goes on: all, unless it is elastic."""
        elastic = self.job.spec.elastic
        return len(self.pods) - (self.job.spec.worker.replicas - elastic.min_replicas if elastic else 0)

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self.templates)
