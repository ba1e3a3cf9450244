"""The messages between agents, coordinator and operator, and the termination message of a pod.

HTTP/1.1 with JSON bodies (`codec`), version in the path, `Authorization: Bearer <token>` on every request to the
coordinator. The token is HMAC-SHA256 of the job's UID, hexadecimal.

    POST /v1/join       Join      -> Joined        waits up to JOIN_POLL_SECONDS for the next generation to form
    POST /v1/beat       Beat      -> Orders        held up to BEAT_SECONDS for news; sent at once when a process ends
    GET  /v1/status               -> JobReport     asked by an operator that gives no rulings
    GET  /v1/status?after=N       -> News          asked by the operator; held up to NEWS_SECONDS while its number is N
    POST /v1/ruling     Ruling    -> News          from the operator, on a failure that waits for it
    POST /v1/view      Serving    -> View          from each shard of a parameter server, every SERVING_SECONDS
    GET  /v1/view?after=N         -> View          held up to JOIN_POLL_SECONDS until its number is above N; with
                                                   &finished=K also until other than K workers have finished

The key-value store of generation G for Horovod's gloo (scope S, key K; keys and scopes percent-encoded):

    PUT    /v1/store/G/S/K        bytes
    GET    /v1/store/G/S?after=N  -> entries       from position N on, held up to JOIN_POLL_SECONDS for the first one
    DELETE /v1/store/G/S                           all ranks of the scope are connected: nobody needs it any more

Within the pod, `Authorization: Bearer <AGENT_KEY>`: POST /v1/report, Report; /v1/view as above, passed on; and

    GET /v1/membership?after=N    -> Membership    held up to JOIN_POLL_SECONDS until its number is above N
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from dataclasses import dataclass, field
from enum import Enum

from trireme.contract import codec, names

PATH_PREFIX = "/v1"
JOIN_PATH = f"{PATH_PREFIX}/join"
BEAT_PATH = f"{PATH_PREFIX}/beat"
STATUS_PATH = f"{PATH_PREFIX}/status"
RULING_PATH = f"{PATH_PREFIX}/ruling"
STORE_PREFIX = f"{PATH_PREFIX}/store/"
REPORT_PATH = f"{PATH_PREFIX}/report"
VIEW_PATH = f"{PATH_PREFIX}/view"
MEMBERSHIP_PATH = f"{PATH_PREFIX}/membership"

BEAT_SECONDS = 1.0
SILENCE_SECONDS = 15.0
"""A member that has not been heard of for so long has left."""
JOIN_POLL_SECONDS = 5.0
NEWS_SECONDS = 2.0
SERVING_SECONDS = 1.0
SERVING_SILENCE_SECONDS = 5.0
"""A shard that has not said for so long that it serves is in no further view."""
HEADER_MAX = 16 * 1024
"""Bytes of a request's head."""
REQUEST_MAX = 1024 * 1024
"""Bytes of a request's body. Horovod's largest value has 136 bytes for each other rank: some 7,000 ranks fit."""
RESPONSE_MAX = 32 * 1024 * 1024
"""Bytes of a response's body: a generation of 100,000 members fits."""
TERMINATION_MESSAGE_MAX = 4096
"""Bytes the kubelet keeps (Kubernetes: container termination message)."""
MISSING_MAX = 10
"""Names of missing pods that a message spells out before it counts the rest."""
WORD_MAX = 63
"""Characters of a role, a reason or a signal."""
METRICS_MAX = 32
METRIC_NAME_MAX = 63


@dataclass(frozen=True)
class Progress:
    """What user code last reported."""

    step: int
    total_steps: int | None = None
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    last_checkpoint_step: int | None = None
    """Steps that the last checkpoint holds; trireme_worker.checkpoint says it."""


@dataclass(frozen=True)
class Failure:
    """A rank that failed, as its agent saw it."""

    role: str
    index: int
    exit_code: int
    """Of the process, 128 + n for signal n."""
    reason: str
    """CamelCase, from contract.exits."""
    message: str
    at: float
    """Unix time, seconds, by the clock of the failing pod's node."""
    rank: int | None = None
    """None when no rank was given out yet."""
    signal: str = ""
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True)
class Termination:
    """The pod's last word, in its termination message."""

    exit_code: int
    failure: Failure | None = None
    """This pod's own failed rank; None when it only followed."""
    cause: Failure | None = None
    """Another pod's failure that ended this one, without its log."""
    progress: Progress | None = None
    """The job's last progress; worker 0 only, so that it outlives the coordinator."""
    attempt: int | None = None
    """In which it ended, where that is a later one than made the pod: its processes were started again in it."""


@dataclass(frozen=True)
class Join:
    role: str
    index: int
    incarnation: str
    """The pod's UID: a successor of the same index has another."""
    slots: int
    address: str
    """The pod's IP address."""
    hostname: str
    node: str
    store_port: int
    """A port that is free on the pod, for torch's TCPStore should rank 0 run there."""
    domain: str = ""
    """Topology domain of the node; empty when it is not known."""
    generation: int = 0
    """The last one that it was a member of; 0: none."""
    since: int = 0
    """Elastic jobs: the first generation whose processes still run; 0: they will be new ones."""
    place: int = -1
    """Its position in the generation that it was last a member of; -1: none."""
    done: bool = False
    """Elastic jobs: all its ranks ended well while the generation ended."""
    attempt: int = 0
    """The last one of the job that it knows of."""


@dataclass(frozen=True)
class Member:
    role: str
    index: int
    slots: int
    address: str
    hostname: str


@dataclass(frozen=True)
class Generation:
    """One agreed membership; the order of the members decides every rank (contract.ranks)."""

    number: int
    members: tuple[Member, ...]
    master: str
    """Address of the pod of rank 0."""
    master_port: int
    attempt: int = 0
    """Of the job."""


@dataclass(frozen=True)
class Joined:
    """The generation, or who is still missing (at most MISSING_MAX names, then a count), or why there will be none."""

    generation: Generation | None = None
    missing: tuple[str, ...] = ()
    failure: Failure | None = None
    done: bool = False
    """The member's ranks were done before: it starts none and waits for the others."""


class State(str, Enum):
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"
    LEFT = "Left"
    """Has heard its last orders: the coordinator need not wait for this member before it goes."""


@dataclass(frozen=True)
class Stand:
    """What one rank was doing when its stacks were asked for."""

    stopped: bool = False
    """One of its processes is stopped by a signal: there is no stack."""
    where: str = ""
    """Innermost frame of the main thread; empty when it could not be had."""
    waiting: bool = False
    """That frame, or one close above it, is a framework's communication: the rank waits for its peers."""


@dataclass(frozen=True)
class Beat:
    role: str
    index: int
    incarnation: str
    generation: int
    state: State
    progress: dict[int, Progress] = dataclasses.field(default_factory=dict)
    """By rank; only ranks that moved since the last beat."""
    failure: Failure | None = None
    stands: dict[int, Stand] = dataclasses.field(default_factory=dict)
    """By rank; once after each order to dump."""
    rigid: bool = False
    """Its processes take in nobody before something else interrupts them (trireme_worker.elastic)."""
    asks: bool = False
    """Its processes have lost a peer and ask for the next generation."""
    finished: tuple[int, ...] = ()
    """Ranks of the pod that have ended with code 0."""


class Order(str, Enum):
    CONTINUE = "Continue"
    FINISH = "Finish"
    """All ranks are done: exit 0."""
    STOP = "Stop"
    """By a failure of this pod, or of any where all pods restart: stop the processes and exit."""
    REJOIN = "Rejoin"
    """The generation has ended: by another pod's failure, or without a cause because the membership changes. Stop the
    processes, unless they can go on, and join the next one."""
    DUMP = "Dump"
    """No rank makes a step: write the Python stacks of all ranks to the log, say where each one is, and go on."""


@dataclass(frozen=True)
class Orders:
    order: Order
    cause: Failure | None = None


@dataclass(frozen=True)
class Serving:
    """Where a shard of the parameter server listens."""

    index: int
    incarnation: str
    """Random, one for each process: a successor of the same index has another."""
    address: str
    port: int
    socket: str = ""
    """Its AF_UNIX socket: a path, or `@name` in the abstract namespace of the pod's network; empty: it has none."""
    view: int = 0
    """The highest view that it has seen: a new coordinator counts on from there."""


@dataclass(frozen=True)
class View:
    """Which shards serve at present (docs/adr/0012). Every change has a higher number; 0: none has been heard of."""

    number: int
    desired: int
    """Shards of the job."""
    servers: tuple[Serving, ...] = ()
    """In the order of their indices."""
    finished: tuple[int, ...] = ()
    """Ranks of the workers that have ended with code 0, ascending: nobody waits for them. It changes within a view."""


@dataclass(frozen=True)
class Membership:
    """What processes that go on from one generation to the next are told."""

    number: int
    """The last generation that ended because members come or go; 0: none has."""


@dataclass(frozen=True)
class Report:
    """From a process to its agent."""

    rank: int
    progress: Progress


class Phase(str, Enum):
    FORMING = "Forming"
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


@dataclass(frozen=True)
class Straggler:
    """A rank that is slower than its peers, over at least half a minute."""

    rank: int
    steps_per_second: float
    median: float
    """Steps a second of all ranks that report."""


@dataclass(frozen=True)
class JobReport:
    """What the operator learns from the coordinator."""

    phase: Phase
    generation: int
    """The present one; while one forms, the last; 0: there was none."""
    missing: tuple[str, ...] = ()
    progress: Progress | None = None
    """Of the lowest rank that reports."""
    steps_per_second: float | None = None
    failure: Failure | None = None
    """Why the job has failed; or, as long as pods are missing because of it, what ended the last generation."""
    stragglers: tuple[Straggler, ...] = ()
    """Only where ranks step at their own pace: in a synchronous job all are as slow as the slowest."""
    silent: dict[str, float] = field(default_factory=dict)
    """By their UIDs, pods that were given up because nothing was heard of them, and how many seconds ago that was."""


@dataclass(frozen=True)
class Held:
    """A process of this pod has failed; the pod waits for the operator's word (docs/adr/0019)."""

    incarnation: str
    """The pod's UID."""
    attempt: int
    """Of the job, in which it failed."""
    failure: Failure


@dataclass(frozen=True)
class News(JobReport):
    """What the coordinator tells an operator that gives rulings. `failure` is without its log."""

    number: int = 0
    """Of the last change that matters to an operator at once."""
    attempt: int = 0
    waiting: bool = False
    """Whether a member that may go on waits out its pause."""
    held: Held | None = None
    """The first that waits for a ruling."""


@dataclass(frozen=True)
class Ruling:
    """The operator's word on a failure that waits for it. It may come twice."""

    incarnation: str
    attempt: int
    """As in Held."""
    next_attempt: int | None = None
    """As which its processes start again, and all that stopped with them, after the pause; None: the pod ends by it."""
    pause_seconds: float = 0.0


def token(key: bytes, uid: str) -> str:
    """The job's bearer token, 64 hexadecimal digits."""
    return hmac.new(key, uid.encode(), hashlib.sha256).hexdigest()


def bearer(token: str) -> str:
    return f"Bearer {token}"


def authorized(header: str, token: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(header.encode("utf-8", "surrogateescape"), bearer(token).encode())


def pod_label(failure: Failure) -> str:
    return names.pod_label(failure.role, failure.index)


def bounded(failure: Failure) -> Failure:
    """As much of it as a termination message holds, whoever wrote it."""
    words = {name: getattr(failure, name)[:WORD_MAX] for name in ("role", "reason", "signal")}
    short = dataclasses.replace(failure, **words)
    said = read_termination(termination_message(Termination(failure.exit_code, failure=short)))
    assert said is not None
    assert said.failure is not None
    return said.failure


def termination_message(termination: Termination) -> str:
    """JSON of at most TERMINATION_MESSAGE_MAX bytes: the oldest log lines go until it fits, then the message is cut."""
    failure = termination.failure
    while True:
        data = codec.encode(dataclasses.replace(termination, failure=failure))
        excess = len(data) - TERMINATION_MESSAGE_MAX
        if excess <= 0:
            return data.decode()
        if failure is not None and failure.log_tail:
            failure = dataclasses.replace(failure, log_tail=failure.log_tail[1:])
        elif failure is not None and failure.message:
            failure = dataclasses.replace(failure, message=failure.message[: -(excess // 6 + 1)])
        elif termination.progress is not None:
            termination = dataclasses.replace(termination, progress=None)
        else:
            termination = dataclasses.replace(termination, cause=None)


def read_termination(text: str) -> Termination | None:
    """None when the text is not ours: the pod died before its agent could speak, or another container wrote it."""
    try:
        return codec.decode(Termination, text)
    except codec.BadMessage:
        return None
