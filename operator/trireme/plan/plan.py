"""The Plan: what a job needs, before it is written as Kubernetes objects. Values only; passes return new ones."""

from __future__ import annotations

from dataclasses import dataclass

from trireme.contract.environ import PodEnvironment  # noqa: F401  (see planner)
from trireme.spec.model import TrainingJob


@dataclass(frozen=True)
class PodPlan:
    """One pod of a rank group."""

    role: str
    index: int
    slots: int
    """Processes in the pod."""

    name: str


@dataclass(frozen=True)
class Plan:
    """Everything one attempt of a job consists of."""

    job: TrainingJob
    attempt: int
    pods: tuple[PodPlan, ...]
    environment: tuple[tuple[str, str], ...]
    """Variables that every trainer container gets beside its own place (tuning of the backend)."""
    digest: str
    """Hash of all that a pod's manifest depends on; pods carry it as an annotation."""
