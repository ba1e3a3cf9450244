"""A job of two workers and pods in every state, as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from trireme.contract import wire
from trireme.lifecycle.decide import decide
from trireme.lifecycle.decision import Decision
from trireme.lifecycle.observe import observe
from trireme.lifecycle.pod import Pod, PodPhase, Terminated
from trireme.plan.plan import Plan
from trireme.plan.planner import plan
from trireme.spec.model import TrainingJob
from trireme.spec.parse import parse
from trireme.spec.status import JobStatus

UID = "11111111-2222-3333-4444-555555555555"
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def job(replicas: int = 2, **spec: object) -> TrainingJob:
    container = {"name": "trainer", "image": "img", "command": ["train"]}
    worker = {"replicas": replicas, "template": {"spec": {"containers": [container]}}}
    return parse(
        {
            "apiVersion": "trireme.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": "digits", "namespace": "team", "uid": UID, "generation": 1},
            "spec": {"worker": worker, **spec},
        }
    )


class Scene:
    """Makes pods of one plan."""

    def __init__(self, replicas: int = 2, **spec: object) -> None:
        self.job = job(replicas, **spec)
        self.plan: Plan = plan(self.job, attempt=0, agent="abc")

    def step(self, status: JobStatus, *pods: Pod, at: float = 0, **seen: Any) -> Decision:
        """One look at the job, with the plan that belongs to the status, as reconcile makes it."""
        planned = plan(self.job, attempt=status.attempt, agent="abc", suspensions=status.suspensions)
        return decide(planned, observe(planned, pods, status=status, **seen), status, after(at))

    def started(self) -> JobStatus:
        """The status of a job whose pods all run."""
        return self.step(JobStatus(), *map(self.running, range(len(self.plan.pods)))).status

    def pod(self, index: int, **changes: object) -> Pod:
        base = Pod(
            namespace="team",
            name=f"digits-worker-{index}",
            uid=f"pod-{index}",
            resource_version="1",
            job="digits",
            owner_uid=UID,
            role="worker",
            index=index,
            attempt=0,
            plan=self.plan.digest,
            agent=self.plan.agent[:16],
            phase=PodPhase.PENDING,
            created_at=NOW.timestamp(),
        )
        return replace(base, **changes)  # type: ignore[arg-type]

    def running(self, index: int, **changes: object) -> Pod:
        return self.pod(
            index, **{"phase": PodPhase.RUNNING, "running": True, "node": "n1", "ip": f"10.0.0.{index}", **changes}
        )

    def succeeded(self, index: int, progress: wire.Progress | None = None) -> Pod:
        said = wire.termination_message(wire.Termination(0, progress=progress))
        ended = Terminated(0, "Completed", message=said, finished_at=NOW.timestamp())
        return self.pod(index, phase=PodPhase.SUCCEEDED, node="n1", terminated=ended)

    def failed(self, index: int, ended: Terminated | None, **changes: object) -> Pod:
        return self.pod(index, **{"phase": PodPhase.FAILED, "node": "n1", "terminated": ended, **changes})


def said(status: JobStatus) -> dict[str, str]:
    """Conditions as `status/reason`."""
    return {c.type: f"{c.status}/{c.reason}" for c in status.conditions}


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)
