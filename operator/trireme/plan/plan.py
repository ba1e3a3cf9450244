"""The Plan: what a job needs, before it is written as Kubernetes objects. Values only; passes return new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
class Layout:
    """What a strategy decides: which pods there are and how its backend is tuned."""

    pods: tuple[PodPlan, ...]
    """In the order of their ranks."""
    environment: tuple[tuple[str, str], ...]
    """Variables that every trainer container gets beside its own place."""


@dataclass(frozen=True)
class Plan:
    """Everything one attempt of a job consists of."""

    job: TrainingJob
    attempt: int
    agent: str
    """Content hash of agent.pyz."""
    pods: tuple[PodPlan, ...]
    environment: tuple[tuple[str, str], ...]
    """Variables that every trainer container gets beside its own place; they are in `template` too."""
    template: Mapping[str, Any]
    """metadata and spec that all pods share, as one value: a plan of 10,000 pods holds it once."""
    digest: str
    """Hash of what the spec decides of the pods' manifests; pods carry it as an annotation."""
