"""Environment variables, all of them: what the operator gives a pod, and what the agent gives each process.

Each key is spelled here once. `TRIREME_*` is ours; the others are the frameworks' own names (Horovod, torchrun).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields

from trireme.contract.ranks import Place

PREFIX = "TRIREME_"

POD_IP = "TRIREME_POD_IP"
NODE_NAME = "TRIREME_NODE_NAME"
DOMAIN = "TRIREME_DOMAIN"
POD_UID = "TRIREME_POD_UID"
JOB = "TRIREME_JOB"
NAMESPACE = "TRIREME_NAMESPACE"
TOKEN_FILE = "TRIREME_TOKEN_FILE"
ROLE = "TRIREME_ROLE"
"""Of a pod; of a process `worker` for a rank and `server` for a shard, whatever pod it runs in."""
INDEX = "TRIREME_INDEX"
SLOTS = "TRIREME_SLOTS"
SHARDS = "TRIREME_SHARDS"
ATTEMPT = "TRIREME_ATTEMPT"
CHECKPOINT_DIRECTORY = "TRIREME_CHECKPOINT_DIRECTORY"

JOIN_SECONDS = 3600
"""How long a pod waits for its peers: they may wait for a node to be made and pull an image of many gigabytes."""
AGENT_SECONDS = 5
"""What the agent keeps of a pod's grace period for itself, to reap its processes and leave its last word."""

SCOPE_FAILED = "Failed"
"""A failed pod is replaced; the others stop their processes, stay, and join the next generation."""
SCOPE_ALL = "All"
"""All pods end with the first that fails."""
RESTART_SCOPES = (SCOPE_FAILED, SCOPE_ALL)


def job_of(environ: Mapping[str, str]) -> str:
    """`namespace/name` of the job that a process belongs to; empty outside of a job."""
    name = environ.get(JOB, "")
    return f"{environ.get(NAMESPACE, '')}/{name}" if name else ""


class BadEnvironment(ValueError):
    """The pod's environment lacks a variable or has a wrong one; the message names all of them."""


@dataclass(frozen=True)
class PodEnvironment:
    """What the operator tells an agent. Field names in capitals behind `TRIREME_` are the variables' names."""

    job: str
    namespace: str
    role: str
    index: int
    """Index of the pod within its role."""
    slots: int
    """Ranks to start in this pod; 0 in the pods of parameter servers."""
    shards: int
    """1: a shard of the parameter server runs in this pod; else 0."""
    replicas: int
    """Worker pods, all of which must join before ranks are given out."""
    servers: int
    """Server pods, which must join too."""
    attempt: int
    backend: str
    """`Horovod` or `Torch`; user code may read it, the agent sets every framework's variables anyway."""
    coordinator: str
    """host:port of worker 0's coordinator."""
    token_file: str
    join_seconds: int
    """How long to wait for all peers before giving up with PEER_MISSING."""
    grace_seconds: int
    """Between SIGTERM and SIGKILL for the processes."""
    restart_scope: str
    """One of RESTART_SCOPES."""
    independent: int
    """1: no member needs another one's processes (parameter server): a lost one ends no generation; else 0."""
    pod_ip: str
    """From the downward API (status.podIP)."""
    pod_uid: str
    """From the downward API; tells a pod from its successor of the same name."""
    node_name: str
    domain: str = ""
    """Topology domain of the node, from the pod's labels; empty when they do not say."""
    hang_seconds: int = 0
    """Longest time between two steps of the job, once it has reported one; 0: any."""
    min_replicas: int = 0
    """Elastic jobs: worker pods with which ranks are given out; 0: all of `replicas`."""
    max_replicas: int = 0
    """Elastic jobs: worker pods that may join; 0: the job is not elastic. `replicas` is then how many were wanted when
    the pod was made."""
    checkpoint_directory: str = ""
    """Where trireme_worker.checkpoint saves and resumes; empty when the job has no spec.checkpoint."""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> PodEnvironment:
        """Raises BadEnvironment, naming every variable that is missing, empty or not a whole number.

        Only what has a default may be missing or empty.
        """
        values: dict[str, str | int] = {}
        problems = []
        for field in fields(cls):
            key = PREFIX + field.name.upper()
            text = environ.get(key, "")
            if not text:
                if field.default is MISSING:
                    problems.append(f"{key} is not set")
            elif field.type != "int":
                values[field.name] = text
            elif text.isdecimal():
                values[field.name] = int(text)
            else:
                problems.append(f"{key} must be a whole number, got {text!r}")
        if problems:
            raise BadEnvironment("; ".join(problems))
        return cls(**values)  # type: ignore[arg-type]

    def write(self) -> dict[str, str]:
        """Without what has its default: `read` gives it back."""
        values = {field: getattr(self, field.name) for field in fields(self)}
        return {PREFIX + field.name.upper(): str(value) for field, value in values.items() if value != field.default}


AGENT_URL = "TRIREME_AGENT_URL"
"""http://127.0.0.1:port of the pod's agent, for `trireme_worker.report`."""
AGENT_KEY = "TRIREME_AGENT_KEY"
"""The bearer key of that address; new for every agent, never leaves the pod."""
GENERATION = "TRIREME_GENERATION"
TERMINATION_LOG = "TRIREME_TERMINATION_LOG"
"""Where the agent leaves its termination message, for a kubelet without mount namespaces; else TERMINATION_PATH."""
TERMINATION_PATH = "/dev/termination-log"


@dataclass(frozen=True)
class Meeting:
    """Where the processes of one generation meet."""

    generation: int
    hostname: str
    """Of this member, unique within the job, without a colon (HOROVOD_HOSTNAME)."""
    interface: str
    """Network interface that carries the pod's address."""
    rendezvous: tuple[str, int]
    """IPv4 address and port of the key-value store that Horovod's gloo controller asks: the pod's own agent."""
    master: tuple[str, int]
    """Address and port where rank 0 serves torch's TCPStore."""


INTERFACE_KEYS = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "HOROVOD_GLOO_IFACE")
"""Network interface of a framework. A pod with several networks says which in its template, and that stays."""


def process_environment(place: Place, meeting: Meeting) -> dict[str, str]:
    """The frameworks' variables of one process: Horovod 0.28 and torchrun's, whatever the backend."""
    return {
        **dict.fromkeys(INTERFACE_KEYS, meeting.interface),
        GENERATION: str(meeting.generation),
        "RANK": str(place.rank),
        "WORLD_SIZE": str(place.size),
        "LOCAL_RANK": str(place.local_rank),
        "LOCAL_WORLD_SIZE": str(place.local_size),
        "GROUP_RANK": str(place.group_rank),
        "GROUP_WORLD_SIZE": str(place.group_size),
        "MASTER_ADDR": meeting.master[0],
        "MASTER_PORT": str(meeting.master[1]),
        "HOROVOD_RANK": str(place.rank),
        "HOROVOD_SIZE": str(place.size),
        "HOROVOD_LOCAL_RANK": str(place.local_rank),
        "HOROVOD_LOCAL_SIZE": str(place.local_size),
        "HOROVOD_CROSS_RANK": str(place.cross_rank),
        "HOROVOD_CROSS_SIZE": str(place.cross_size),
        "HOROVOD_HOSTNAME": meeting.hostname,
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": meeting.rendezvous[0],
        "HOROVOD_GLOO_RENDEZVOUS_PORT": str(meeting.rendezvous[1]),
    }


_ANY = process_environment(Place(0, 1, 0, 1, 0, 1, 0, 1), Meeting(1, "", "", ("", 0), ("", 0)))
PROCESS_KEYS = frozenset(_ANY) - frozenset(INTERFACE_KEYS)
"""What the agent gives to every process: a value in a template would be overwritten."""

SERVER_INDEX = "TRIREME_SERVER_INDEX"
"""Of a shard, 0.. without a gap; a colocated one has its worker's index."""
PS_SERVERS = "TRIREME_PS_SERVERS"
"""Shards of the job."""
PS_CONSISTENCY = "TRIREME_PS_CONSISTENCY"
"""`Sync`, `Bounded` or `Async`."""
PS_STALENESS = "TRIREME_PS_STALENESS"
"""Steps that a worker may be ahead of the slowest one (Bounded)."""
PS_BACKUPS = "TRIREME_PS_BACKUPS"
"""Further shards that hold each range."""

HOROVOD_ELASTIC = "HOROVOD_ELASTIC"
"""`1`: a failed collective raises HorovodInternalError and the next `hvd.init` asks for its rank."""
HOROVOD_FUSION_THRESHOLD = "HOROVOD_FUSION_THRESHOLD"
"""Bytes."""
HOROVOD_CYCLE_TIME = "HOROVOD_CYCLE_TIME"
"""Milliseconds."""
HOROVOD_TIMELINE = "HOROVOD_TIMELINE"
HOROVOD_GLOO_TIMEOUT = "HOROVOD_GLOO_TIMEOUT_SECONDS"
"""Covers collectives as well as the start; Horovod's own default of 30 s is too short for an evaluation on rank 0."""
