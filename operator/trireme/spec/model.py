"""What the user said: the frozen, typed TrainingJob (docs/reference.md is generated from it, and so is the CRD).

A field is here when it works. Whatever is not here is refused with its path by `parse`; nothing is ignored.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from trireme.contract import environ, names

Template = dict[str, Any]

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
"""RFC 1123."""
OBJECT_NAME = rf"^{_SUBDOMAIN}$"
LABEL_KEY = rf"^({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
DOMAIN_PATH = rf"^{_SUBDOMAIN}/[-A-Za-z0-9._/]+$"
SECONDS_MAX = 10 * 365 * 86_400
ExitCode = Annotated[int, Field(ge=1, le=255)]
ABSOLUTE_PATH = r"^(/([^/.]|\.[^/.]|\.\.[^/])[^/]*)+$"
FORMS = {
    OBJECT_NAME: "be lower case letters, digits, `-` and `.`",
    LABEL_KEY: "be the key of a label",
    DOMAIN_PATH: "be written as domain/name",
    ABSOLUTE_PATH: "be an absolute path without `.`, `..` and empty parts",
}
"""What a value of each pattern must do, in words."""


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
    PARAMETER_SERVER = "ParameterServer"


class Backend(str, Enum):
    """Who moves the tensors of an allreduce."""

    HOROVOD = "Horovod"
    TORCH = "Torch"


class ConsistencyMode(str, Enum):
    """What a worker sees of the others' pushes when it pulls."""

    SYNC = "Sync"
    BOUNDED = "Bounded"
    ASYNC = "Async"


class PodCleanup(str, Enum):
    """Which pods go when the job has finished."""

    RUNNING = "Running"
    ALL = "All"
    NONE = "None"


class RestartScope(str, Enum):
    """Which pods are made anew after a failure."""

    FAILED = environ.SCOPE_FAILED
    ALL = environ.SCOPE_ALL


class NetworkPolicy(str, Enum):
    """Which connections reach the pods."""

    JOB_ONLY = "JobOnly"
    NONE = "None"


class Gang(str, Enum):
    """Who places all pods of a job at once, or none."""

    AUTO = "Auto"
    NONE = "None"
    NATIVE = "Native"
    VOLCANO = "Volcano"
    COSCHEDULING = "Coscheduling"


class TopologyMode(str, Enum):
    """How much a job insists on one topology domain."""

    REQUIRED = "Required"
    PREFERRED = "Preferred"


class Worker(Model):
    """The training pods."""

    replicas: Annotated[
        int,
        Field(
            ge=1,
            le=names.MAX_REPLICAS,
            description="Number of worker pods. May change until the job has started, of an elastic job at any time.",
        ),
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


class Server(Model):
    """The shards of a parameter server."""

    replicas: Annotated[
        int,
        Field(ge=1, le=1000, description="Number of server pods, each with one shard of the parameters."),
    ] = 1
    template: Annotated[
        Template | None,
        Field(
            description="Pod template of the servers. Default: the worker's, with the trainer container alone and "
            "without its GPUs. Without a `command` its trainer container runs Trireme's parameter server.",
        ),
    ] = None
    colocated: Annotated[
        bool,
        Field(
            description="true: no pods of their own; each worker pod carries a shard, and its own part of the "
            "parameters never crosses the network.",
        ),
    ] = False


class ParameterServer(Model):
    """How the parameter server keeps its workers together."""

    consistency: Annotated[
        ConsistencyMode,
        Field(
            strict=False,
            description="Sync: a step is applied when every worker's push is in. Bounded: no worker runs more than "
            "`staleness` steps ahead of the slowest. Async: nobody waits.",
        ),
    ] = ConsistencyMode.SYNC
    staleness: Annotated[
        int | None,
        Field(ge=0, le=1_000_000, description="Bounded: steps that a worker may be ahead of the slowest. Default: 4."),
    ] = None
    backups: Annotated[
        int,
        Field(ge=0, le=8, description="Further servers that hold each part of the parameters, should its own be lost."),
    ] = 0


class Cleanup(Model):
    """What happens to the pods of a finished job."""

    pods: Annotated[
        PodCleanup,
        Field(
            strict=False,
            description="Running: pods that still run are deleted, finished ones keep their logs. All: every pod goes.",
        ),
    ] = PodCleanup.RUNNING
    ttl_seconds_after_finished: Annotated[
        int | None,
        Field(
            ge=0,
            le=SECONDS_MAX,
            description="The finished job itself is deleted after so long, with all that is left of it. "
            "Default: it stays.",
        ),
    ] = None


class Restart(Model):
    """What happens when a pod fails or is taken away (docs/restarts.md)."""

    limit: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="How often the job is tried again after a failure, all pods together. Evictions, preemptions "
            "and lost nodes are not counted.",
        ),
    ] = 3
    permanent_exit_codes: Annotated[
        list[ExitCode],
        Field(max_length=64, description="Exit codes of a process with which the job fails at once."),
    ] = []
    reset_after_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=SECONDS_MAX,
            description="When all pods have run for so long, earlier restarts count no more against `limit`.",
        ),
    ] = 3600
    scope: Annotated[
        RestartScope,
        Field(
            strict=False,
            description="Failed: a pod whose process died starts it again, a failed pod is replaced; the others stop "
            "their processes, keep their pods and start again with it. All: every pod is made anew.",
        ),
    ] = RestartScope.FAILED
    backoff_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=300,
            description="Pause before the second restart in a row, doubled before each further one up to 300 s. "
            "The first one comes at once.",
        ),
    ] = 10
    node_lost_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=86_400,
            description="How long pods stay on a node that is not ready, unless the template tolerates that itself. "
            "Kubernetes' own default is 300.",
        ),
    ] = 30
    force_delete_seconds: Annotated[
        int | None,
        Field(
            ge=0,
            le=86_400,
            description="A pod that should have gone from a node that is not ready for so long is deleted by force: "
            "set it only if such nodes are really dead. Default: only when the node's object is gone.",
        ),
    ] = None


class Elastic(Model):
    """The job runs with fewer worker pods than it wants, and `worker.replicas` may change while it runs
    (docs/elastic.md). The limits may change until it has started."""

    min_replicas: Annotated[
        int,
        Field(ge=1, le=names.MAX_REPLICAS, description="Worker pods with which the job starts and goes on."),
    ]
    max_replicas: Annotated[
        int,
        Field(ge=1, le=names.MAX_REPLICAS, description="The most that `worker.replicas` may be set to."),
    ]


class Deadlines(Model):
    """How long a job may take for what."""

    pending_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=SECONDS_MAX,
            description="How long pods may have nodes without the job running. If all have one and do not start, the "
            "job then fails. If only some have one, they are given back and tried again; by default after 300 s.",
        ),
    ] = None
    active_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=SECONDS_MAX,
            description="From the start to the end, restarts included; the job then fails. It does not run while the "
            "job is suspended.",
        ),
    ] = None
    hang_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=86_400,
            description="Longest time between two reported steps; before the first and after the last of the total "
            "steps, ten times as long and 600 s at least. A job that hangs is restarted.",
        ),
    ] = None


class Checkpoint(Model):
    """Where trireme_worker.checkpoint saves the training, and takes it up again."""

    directory: Annotated[
        str,
        Field(
            min_length=2,
            max_length=1024,
            pattern=ABSOLUTE_PATH,
            description="In a volume that the template mounts into the trainer and all pods of the job share; of this "
            "job alone.",
        ),
    ]
    grace_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=86_400,
            description="Between SIGTERM and SIGKILL for the processes, to save. The pod's grace period is 5 s more.",
        ),
    ] = 60


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


class Topology(Model):
    """Packs the job into one domain of the cluster: a zone, a rack, a block of fast network."""

    key: Annotated[
        str,
        Field(
            min_length=1,
            max_length=317,
            pattern=LABEL_KEY,
            description="Label of the nodes that names their domain, such as `topology.kubernetes.io/zone`.",
        ),
    ]
    mode: Annotated[
        TopologyMode,
        Field(strict=False, description="Required: all pods in one domain, or they wait. Preferred: if it can be."),
    ] = TopologyMode.REQUIRED


class Scheduling(Model):
    """How the pods get their nodes. May change until the job has started."""

    gang: Annotated[
        Gang,
        Field(
            strict=False,
            description="All pods are placed at once, or none. Auto: with what the cluster serves, if anything. "
            "Native: scheduling.k8s.io. Volcano, Coscheduling: by their PodGroups. None: each pod by itself.",
        ),
    ] = Gang.AUTO
    queue: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=names.LABEL_MAX,
            pattern=OBJECT_NAME,
            description="LocalQueue of Kueue that admits all pods of the job at once; with gang Volcano: its queue.",
        ),
    ] = None
    priority_class_name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=253,
            pattern=OBJECT_NAME,
            description="PriorityClass of the pods; the template may name it instead.",
        ),
    ] = None
    topology: Topology | None = None


class JobSpec(Model):
    """The desired state of a TrainingJob."""

    strategy: Annotated[
        Strategy,
        Field(strict=False, description="How the processes share the work."),
    ] = Strategy.ALL_REDUCE
    worker: Worker
    all_reduce: AllReduce = AllReduce()
    server: Server = Server()
    parameter_server: ParameterServer = ParameterServer()
    elastic: Elastic | None = None
    restart: Restart = Restart()
    deadlines: Deadlines = Deadlines()
    cleanup: Cleanup = Cleanup()
    checkpoint: Checkpoint | None = None
    network: Network = Network()
    scheduling: Scheduling = Scheduling()
    suspend: Annotated[
        bool,
        Field(description="true: the job's pods are deleted and the job is kept; false makes the pods anew."),
    ] = False
    managed_by: Annotated[
        str,
        Field(
            min_length=1,
            max_length=names.LABEL_MAX,
            pattern=DOMAIN_PATH,
            description="Which controller runs the job; Trireme leaves the jobs of any other alone, status and all.",
        ),
    ] = names.CONTROLLER


class TrainingJob(Model):
    """One TrainingJob as the operator sees it: identity and spec, no status."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: JobSpec
