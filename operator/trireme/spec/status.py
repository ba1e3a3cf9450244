"""What the operator says of a job: the model of `.status`, from which the CRD's status schema is generated.

`phase`, `workersReady` and `progress.percent` exist for printing; the conditions are the truth.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class StatusModel(BaseModel):
    # Lenient on reading: a status written by a newer operator must not stop an older one.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Condition(StatusModel):
    """metav1.Condition."""

    type: str
    status: str
    reason: str
    message: str = ""
    last_transition_time: datetime
    observed_generation: int | None = None


class ReplicaCounts(StatusModel):
    """Pods of one role."""

    desired: int = 0
    ready: int = Field(0, description="Pods whose trainer container runs.")
    active: int = Field(0, description="Pods that exist and have not finished.")
    succeeded: int = 0
    failed: int = 0


class Progress(StatusModel):
    """What user code last reported with trireme_worker.report."""

    step: int
    total_steps: int | None = None
    percent: int | None = None
    eta_seconds: int | None = None
    metrics: dict[str, float] = {}


class Failure(StatusModel):
    """The first rank that failed."""

    role: str
    index: int
    rank: int | None = None
    pod: str
    node: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    reason: str
    message: str
    log_tail: list[str] = []


class JobStatus(StatusModel):
    """Observed state of a TrainingJob."""

    observed_generation: int | None = None
    phase: str | None = None
    message: Annotated[str, Field(description="One line: why the job is where it is.")] = ""
    conditions: list[Condition] = []
    workers: ReplicaCounts = ReplicaCounts()
    workers_ready: Annotated[str, Field(description="ready/desired, for printing.")] = ""
    selector: Annotated[str, Field(description="Label selector of the worker pods, for the scale subresource.")] = ""
    attempt: Annotated[int, Field(description="Which try of the job this is, from 0.")] = 0
    restarts: int = 0
    disruptions: int = 0
    start_time: Annotated[datetime | None, Field(description="When all pods first ran.")] = None
    completion_time: datetime | None = None
    progress: Progress | None = None
    failure: Failure | None = None
