"""What the user said: the frozen, typed TrainingJob (docs/reference.md is generated from it, and so is the CRD).

A field is here when it works. Whatever is not here is refused with its path by `parse`; nothing is ignored.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from trireme.contract import names

Template = dict[str, Any]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        """As in Kubernetes: `cleanup:` with nothing behind it means the default."""
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class Strategy(str, Enum):
    """How the processes share the work."""

    ALL_REDUCE = "AllReduce"


class Backend(str, Enum):
    """Who moves the tensors of an allreduce."""

    HOROVOD = "Horovod"
    TORCH = "Torch"


class PodCleanup(str, Enum):
    """Which pods go when the job has finished."""

    RUNNING = "Running"
    ALL = "All"
    NONE = "None"


class NetworkPolicy(str, Enum):
    """Which connections reach the pods."""

    JOB_ONLY = "JobOnly"
    NONE = "None"


class Worker(Model):
    """The training pods."""

    replicas: Annotated[
        int,
        Field(ge=1, le=names.MAX_REPLICAS, description="Number of worker pods. May change until the job has started."),
    ] = 1
    processes_per_replica: Annotated[
        int | None,
        Field(
            ge=1,
            le=256,
            description="Training processes in each pod. Default: the GPU limit of the trainer container, else 1.",
        ),
    ] = None
    template: Annotated[
        Template,
        Field(
            description="Pod template. The container named `trainer`, else the first, trains; it needs a `command` and "
            "an image with python3.",
        ),
    ]


class AllReduce(Model):
    """Tuning of the allreduce."""

    backend: Annotated[
        Backend,
        Field(strict=False, description="Horovod, or Torch for torch.distributed (NCCL on GPUs, gloo without)."),
    ] = Backend.HOROVOD
    timeout_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=86_400,
            description="Horovod: how long to wait for a peer, at the start and in a collective. Default: 600.",
        ),
    ] = None
    fusion_threshold_bytes: Annotated[
        int | None,
        Field(ge=0, le=2**31 - 1, description="Horovod: small tensors are fused up to so many bytes. 0: no fusion."),
    ] = None
    cycle_time_milliseconds: Annotated[
        int | None,
        Field(ge=1, le=10_000, description="Horovod: pause between two rounds of collectives."),
    ] = None
    timeline_file: Annotated[
        str | None,
        Field(min_length=1, max_length=1024, description="Horovod: rank 0 writes a Chrome trace to this file."),
    ] = None


class Cleanup(Model):
    """What happens to the pods of a finished job."""

    pods: Annotated[
        PodCleanup,
        Field(
            strict=False,
            description="Running: pods that still run are deleted, finished ones keep their logs. All: every pod goes.",
        ),
    ] = PodCleanup.RUNNING


class Network(Model):
    """Who may connect to the job's pods."""

    policy: Annotated[
        NetworkPolicy,
        Field(
            strict=False,
            description="JobOnly: the pods of the same job, and the operator for progress; other policies of the "
            "namespace can let more in. None: no policy of ours.",
        ),
    ] = NetworkPolicy.JOB_ONLY


class JobSpec(Model):
    """The desired state of a TrainingJob."""

    strategy: Annotated[
        Strategy,
        Field(strict=False, description="How the processes share the work."),
    ] = Strategy.ALL_REDUCE
    worker: Worker
    all_reduce: AllReduce = AllReduce()
    cleanup: Cleanup = Cleanup()
    network: Network = Network()


class TrainingJob(Model):
    """One TrainingJob as the operator sees it: identity and spec, no status."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: JobSpec
