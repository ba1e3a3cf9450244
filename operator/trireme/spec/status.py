"""What the operator says of a job: the model of `.status`, from which the CRD's status schema is generated.

`phase`, `workersReady` and `progress.display` exist for printing; the conditions are the truth.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, computed_field
from pydantic.alias_generators import to_camel

from trireme.contract.wire import METRICS_MAX


class StatusModel(BaseModel):
    # Lenient on reading: a status written by a newer operator must not stop an older one.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Condition(StatusModel):
    """One fact about the job, true or not (metav1.Condition)."""

    type: Annotated[str, Field(description="Scheduled, Running, Restarting, Suspended, Succeeded or Failed.")]
    status: Annotated[str, Field(description="True, False or Unknown.")]
    reason: Annotated[str, Field(description="One CamelCase word, for programs.")]
    message: Annotated[str, Field(description="One line, for people.")] = ""
    last_transition_time: Annotated[datetime, Field(description="When `status` last changed.")]
    observed_generation: Annotated[int | None, Field(description="Generation of the job that this is said of.")] = None


class ReplicaCounts(StatusModel):
    """Pods of one role."""

    desired: Annotated[int, Field(description="Pods that the job asks for.")] = 0
    ready: Annotated[int, Field(description="Pods whose trainer container runs.")] = 0
    active: Annotated[int, Field(description="Pods that exist and have not finished.")] = 0
    succeeded: Annotated[int, Field(description="Pods that ended well.")] = 0
    failed: Annotated[int, Field(description="Pods that failed.")] = 0


class Progress(StatusModel):
    """What user code last reported with trireme_worker.report."""

    step: Annotated[int, Field(description="Steps done.")]
    total_steps: Annotated[int | None, Field(description="Steps in all, when user code says so.")] = None
    percent: Annotated[int | None, Field(description="Of `totalSteps`.")] = None
    eta_seconds: Annotated[int | None, Field(description="Time left at the present speed.")] = None
    metrics: Annotated[
        dict[str, float],
        Field(description="Last value of each metric.", json_schema_extra={"maxProperties": METRICS_MAX}),
    ] = {}
    last_checkpoint_step: Annotated[
        int | None, Field(description="Steps that the last checkpoint holds; a restart goes on from there.")
    ] = None

    @computed_field(description="How far the job is, for printing: `45%`, or `step 120`.")  # type: ignore[prop-decorator]
    @property
    def display(self) -> str:
        return f"step {self.step}" if self.percent is None else f"{self.percent}%"


class Failure(StatusModel):
    """The rank that failed first, the last time that one did."""

    role: Annotated[str, Field(description="Role of its pod: worker or server.")]
    index: Annotated[int, Field(description="Index of its pod within the role.")]
    rank: Annotated[int | None, Field(description="Absent when it failed before ranks were given out.")] = None
    pod: Annotated[str, Field(description="Name of its pod.")]
    node: Annotated[str | None, Field(description="Node of its pod.")] = None
    exit_code: Annotated[int | None, Field(description="Of the process; 128 + n when signal n ended it.")] = None
    signal: Annotated[str | None, Field(description="`SIGKILL`, when a signal ended it.")] = None
    reason: Annotated[str, Field(description="One CamelCase word, for programs.")]
    message: Annotated[str, Field(description="One line, for people.")]
    log_tail: Annotated[list[str], Field(description="The rank's last lines of output.")] = []


class JobStatus(StatusModel):
    """Observed state of a TrainingJob."""

    observed_generation: Annotated[int | None, Field(description="Generation of the job that was last looked at.")] = (
        None
    )
    phase: Annotated[str | None, Field(description="The conditions in one word, for printing.")] = None
    message: Annotated[str, Field(description="One line: why the job is where it is.")] = ""
    conditions: Annotated[list[Condition], Field(description="The job's state, one entry a type.")] = []
    workers: ReplicaCounts = ReplicaCounts()
    servers: ReplicaCounts | None = None
    workers_ready: Annotated[str, Field(description="ready/desired, for printing.")] = ""
    selector: Annotated[str, Field(description="Label selector of the worker pods, for the scale subresource.")] = ""
    attempt: Annotated[int, Field(description="Which try of the job this is, from 0.")] = 0
    restarts: Annotated[int, Field(description="Tries that failed and were followed by another.")] = 0
    restarts_spent: Annotated[
        int,
        Field(
            description="Those of them that count against restart.limit: since the job last ran for "
            "restart.resetAfterSeconds."
        ),
    ] = 0
    disruptions: Annotated[int, Field(description="Tries that an eviction, a preemption or a lost node ended.")] = 0
    shrunk_to: Annotated[
        int | None, Field(description="Workers from this index on were scaled away and have not all gone yet.")
    ] = None
    suspensions: Annotated[int, Field(description="How often the job was suspended.")] = 0
    start_time: Annotated[
        datetime | None, Field(description="When all pods first ran; a suspension takes it back.")
    ] = None
    active_seconds: Annotated[int, Field(description="How long it ran before it was last suspended.")] = 0
    completion_time: Annotated[datetime | None, Field(description="When the job succeeded or failed.")] = None
    progress: Progress | None = None
    failure: Failure | None = None
