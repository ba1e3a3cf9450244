"""From a job to its Plan. Pure: the same job, attempt and agent always give the same plan, in any process.

A strategy is one function in one file, TrainingJob -> Layout; this table is the only place that knows them all.
"""

from __future__ import annotations

import hashlib
import json

from trireme.plan import allreduce, manifests
from trireme.plan.plan import Layout, Plan
from trireme.spec.model import Strategy, TrainingJob

STRATEGIES = {Strategy.ALL_REDUCE: allreduce.layout}

DIGEST_LENGTH = 16
"""Hexadecimal digits: 64 bits, against accidents and not against attackers."""


def plan(job: TrainingJob, *, attempt: int, agent: str) -> Plan:
    """`agent` is the content hash of agent.pyz, hexadecimal."""
    layout = STRATEGIES[job.spec.strategy](job)
    template = manifests.template(job, layout, agent)
    return Plan(job, attempt, agent, layout.pods, layout.environment, template, _digest(job, layout))


def _digest(job: TrainingJob, layout: Layout) -> str:
    """Of what the user said alone: an upgrade of the operator replaces no pod of a job that waits for GPUs."""
    said = job.spec.model_dump(mode="json", include={"strategy", "worker", "all_reduce"})
    decisive = [job.uid, said, [pod.slots for pod in layout.pods]]
    text = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
