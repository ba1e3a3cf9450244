"""parse: a good job becomes typed, a bad one yields every problem with its path and words that help."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import TRAINER, UID, VALID, in_pod, in_trainer, job, parameter_server, with_value
from trireme.spec.errors import FieldError, InvalidSpec
from trireme.spec.model import AllReduce, Backend, Cleanup, Network, NetworkPolicy, PodCleanup, Strategy
from trireme.spec.parse import parse

POD = "spec.worker.template.spec"
C0 = f"{POD}.containers[0]"


def problems(obj: Any) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        parse(obj)
    return [str(error) for error in caught.value.errors]


def test_the_least_job_gets_every_default() -> None:
    parsed = parse(VALID)
    assert (parsed.name, parsed.namespace, parsed.uid, parsed.generation) == ("digits", "default", "", 1)
    spec = parsed.spec
    assert (spec.strategy, spec.all_reduce) == (Strategy.ALL_REDUCE, AllReduce())
    assert (spec.cleanup, spec.network) == (Cleanup(), Network(policy=NetworkPolicy.JOB_ONLY))
    assert (spec.worker.replicas, spec.worker.processes_per_replica) == (2, None)
    assert spec.worker.template == VALID["spec"]["worker"]["template"]


def test_every_field_is_read() -> None:
    obj = {
        **VALID,
        "metadata": {"name": "digits", "namespace": "team", "uid": UID, "generation": 7},
        "spec": {
            "strategy": "AllReduce",
            "worker": {**VALID["spec"]["worker"], "replicas": 3, "processesPerReplica": 4},
            "allReduce": {
                "backend": "Horovod",
                "timeoutSeconds": 60,
                "fusionThresholdBytes": 0,
                "cycleTimeMilliseconds": 5,
                "timelineFile": "/tmp/trace.json",
            },
            "cleanup": {"pods": "None"},
            "network": {"policy": "None"},
        },
        "status": {"phase": "Running"},
    }
    parsed = parse(obj)
    tuning = parsed.spec.all_reduce
    assert (parsed.namespace, parsed.uid, parsed.generation) == ("team", UID, 7)
    assert (parsed.spec.worker.replicas, parsed.spec.worker.processes_per_replica) == (3, 4)
    assert (tuning.backend, tuning.timeout_seconds, tuning.fusion_threshold_bytes) == (Backend.HOROVOD, 60, 0)
    assert (tuning.cycle_time_milliseconds, tuning.timeline_file) == (5, "/tmp/trace.json")
    assert parsed.spec.cleanup.pods is PodCleanup.NONE
    assert parsed.spec.network.policy is NetworkPolicy.NONE


NULL_IS_ABSENT = [
    job("spec", "cleanup", value=None),
    job("spec", "allReduce", value={"backend": None}),
    job("spec", "worker", "processesPerReplica", value=None),
    job("metadata", "labels", value=None),
    in_pod("volumes", value=None),
    in_trainer("env", value=None),
    job("spec", "worker", "template", "metadata", value={"creationTimestamp": None}),
]


@pytest.mark.parametrize("obj", NULL_IS_ABSENT)
def test_null_is_absent(obj: Any) -> None:
    assert parse(obj).spec.cleanup == parse(VALID).spec.cleanup


LABEL = "must be lower case letters, digits and `-`, with a letter or digit at both ends, at most 63 in all"

BAD: dict[str, tuple[Any, list[str]]] = {
    "a list": ([], ["TrainingJob: must be a mapping, got a list"]),
    "null": (None, ["TrainingJob: must be a mapping, got null"]),
    "nothing in it": (
        {},
        [
            "apiVersion: must be trireme.dev/v1alpha1, got null",
            "kind: must be TrainingJob, got null",
            "metadata: is required: it holds the job's name",
            "spec.worker: is required",
        ],
    ),
    "another kind": (
        {**VALID, "kind": "Job", "apiVersion": "batch/v1"},
        [
            'apiVersion: must be trireme.dev/v1alpha1, got the string "batch/v1"',
            'kind: must be TrainingJob, got the string "Job"',
        ],
    ),
    "unknown top-level field": ({**VALID, "Spec": {}}, ["Spec: unknown field; did you mean `spec`?"]),
    "no name": ({**VALID, "metadata": {}}, ["metadata.name: is required"]),
    "empty name": (job("metadata", "name", value=""), ["metadata.name: is required"]),
    "name of 51": (
        job("metadata", "name", value="x" * 51),
        [
            "metadata.name: must be at most 50 characters, got 51: a pod's hostname "
            f"{'x' * 51}-worker-9... would have 64, and 63 are allowed"
        ],
    ),
    "name with a capital": (
        job("metadata", "name", value="Digits"),
        [f'metadata.name: {LABEL}, got the string "Digits": pods\' hostnames begin with it'],
    ),
    "name with a dot": (
        job("metadata", "name", value="a.b"),
        [f'metadata.name: {LABEL}, got the string "a.b": pods\' hostnames begin with it'],
    ),
    "name that is a number": (
        job("metadata", "name", value=5),
        ["metadata.name: must be a string, got 5; put it in quotes"],
    ),
    "namespace with a slash": (
        job("metadata", "namespace", value="a/b"),
        [f'metadata.namespace: {LABEL}, got the string "a/b"'],
    ),
    "unknown metadata": (
        job("metadata", "label", value={}),
        ["metadata.label: unknown field; did you mean `labels`?"],
    ),
    "spec is a list": (job("spec", value=[]), ["spec: must be a mapping, got a list"]),
    "spec is null": (job("spec", value=None), ["spec.worker: is required"]),
    "no replicas": (job("spec", "worker", "replicas", value=0), ["spec.worker.replicas: must be at least 1, got 0"]),
    "negative replicas": (
        job("spec", "worker", "replicas", value=-4),
        ["spec.worker.replicas: must be at least 1, got -4"],
    ),
    "too many replicas": (
        job("spec", "worker", "replicas", value=100_001),
        ["spec.worker.replicas: must be at most 100000, got 100001"],
    ),
    "a beyond-huge number": (
        job("spec", "worker", "replicas", value=10**5000),
        ["spec.worker.replicas: must be at most 100000, got a huge number"],
    ),
    "replicas in quotes": (
        job("spec", "worker", "replicas", value="4"),
        ['spec.worker.replicas: must be a whole number, got the string "4"'],
    ),
    "replicas as a fraction": (
        job("spec", "worker", "replicas", value=1.5),
        ["spec.worker.replicas: must be a whole number, got 1.5"],
    ),
    "replicas as a truth": (
        job("spec", "worker", "replicas", value=True),
        ["spec.worker.replicas: must be a whole number, got true"],
    ),
    "processes beyond the limit": (
        job("spec", "worker", "processesPerReplica", value=257),
        ["spec.worker.processesPerReplica: must be at most 256, got 257"],
    ),
    "misspelt field": (
        job("spec", "worker", "replica", value=1),
        ["spec.worker.replica: unknown field; did you mean `replicas`?"],
    ),
    "a key of two lines, and a long one": (
        job("spec", value={**VALID["spec"], "a\nb": 1, "k" * 100: 2}),
        [r"spec.a\nb: unknown field", f"spec.{'k' * 60}...: unknown field"],
    ),
    "a value of two lines": (
        job("spec", "strategy", value="a\nb"),
        [r'spec.strategy: must be AllReduce or ParameterServer, got the string "a\nb"'],
    ),
    "field like no other": (job("spec", "zzz", value=1), ["spec.zzz: unknown field"]),
    "fields of later versions": (
        job("spec", value={**VALID["spec"], "mesh": {}}),
        ["spec.mesh: not supported by this version"],
    ),
    "limits around other replicas": (
        job("spec", "elastic", value={"minReplicas": 3, "maxReplicas": 1}),
        [
            "spec.elastic.maxReplicas: must be at least worker.replicas, got 1 of 2",
            "spec.elastic.minReplicas: must be at most worker.replicas, got 3 of 2",
        ],
    ),
    "limits without an end": (
        job("spec", "elastic", value={"minReplicas": 0}),
        [
            "spec.elastic.maxReplicas: is required",
            "spec.elastic.minReplicas: must be at least 1, got 0",
        ],
    ),
    "an elastic job of which all pods restart": (
        with_value(
            job("spec", "elastic", value={"minReplicas": 1, "maxReplicas": 4}),
            "spec",
            "restart",
            value={"scope": "All"},
        ),
        [
            "spec.restart.scope: an elastic job needs Failed: it goes on with the pods that run, and All restarts "
            "every pod"
        ],
    ),
    "an elastic job in a queue": (
        with_value(
            job("spec", "elastic", value={"minReplicas": 1, "maxReplicas": 4}),
            "spec",
            "scheduling",
            value={"queue": "team"},
        ),
        [
            "spec.scheduling.queue: leave it out of an elastic job, or use gang Volcano: Kueue admits a fixed number "
            "of pods at once"
        ],
    ),
    "an elastic parameter server that waits for everybody": (
        parameter_server(elastic={"minReplicas": 1, "maxReplicas": 4}, server={"colocated": True}),
        [
            "spec.parameterServer.consistency: an elastic job needs Bounded or Async: Sync waits for the push of every "
            "worker",
            "spec.server.colocated: an elastic job needs servers of their own: shards in worker pods would come and go "
            "with them",
        ],
    ),
    "exit codes that cannot be": (
        job("spec", "restart", value={"permanentExitCodes": [3, 0, "7", 256], "limit": -1, "scope": "Some"}),
        [
            "spec.restart.limit: must be at least 0, got -1",
            "spec.restart.permanentExitCodes[1]: must be at least 1, got 0",
            'spec.restart.permanentExitCodes[2]: must be a whole number, got the string "7"',
            "spec.restart.permanentExitCodes[3]: must be at most 255, got 256",
            'spec.restart.scope: must be Failed or All, got the string "Some"',
        ],
    ),
    "one exit code is no list": (
        job("spec", "restart", value={"permanentExitCodes": 3}),
        ["spec.restart.permanentExitCodes: must be a list, got 3"],
    ),
    "more exit codes than anybody means": (
        job("spec", "restart", value={"permanentExitCodes": [1] * 65}),
        ["spec.restart.permanentExitCodes: must have at most 64 entries, got 65"],
    ),
    "no time at all": (
        job("spec", "deadlines", value={"pendingSeconds": 0, "activeSeconds": 0, "hangSeconds": 0}),
        [
            "spec.deadlines.activeSeconds: must be at least 1, got 0",
            "spec.deadlines.hangSeconds: must be at least 1, got 0",
            "spec.deadlines.pendingSeconds: must be at least 1, got 0",
        ],
    ),
    "suspend as a word": (
        job("spec", "suspend", value="yes"),
        ['spec.suspend: must be true or false, got the string "yes"'],
    ),
    "a queue and a gang": (
        job("spec", "scheduling", value={"queue": "team", "gang": "Native"}),
        ["spec.scheduling.queue: Kueue admits all pods at once: leave gang out, and not Native"],
    ),
    "two priority classes": (
        with_value(in_pod("priorityClassName", value="low"), "spec", "scheduling", value={"priorityClassName": "high"}),
        [
            'spec.scheduling.priorityClassName: the template says the string "low" at '
            "spec.worker.template.spec.priorityClassName"
        ],
    ),
    "Volcano's gang for another scheduler": (
        with_value(in_pod("schedulerName", value="mine"), "spec", "scheduling", value={"gang": "Volcano"}),
        ["spec.worker.template.spec.schedulerName: must be volcano or left out with gang Volcano"],
    ),
    "links to a group in the template": (
        with_value(
            in_pod("schedulingGroup", value={"podGroupName": "g"}),
            "spec",
            "worker",
            "template",
            "metadata",
            value={
                "labels": {"kueue.x-k8s.io/queue-name": "q"},
                "annotations": {"scheduling.k8s.io/group-name": "g"},
            },
        ),
        [
            "spec.worker.template.metadata.annotations[scheduling.k8s.io/group-name]: cannot be set: "
            "use spec.scheduling.gang",
            "spec.worker.template.metadata.labels[kueue.x-k8s.io/queue-name]: cannot be set: use spec.scheduling.queue",
            "spec.worker.template.spec.schedulingGroup: cannot be set: use spec.scheduling.gang",
        ],
    ),
    "a queue that is no name": (
        job("spec", "scheduling", "queue", value="Team A"),
        ['spec.scheduling.queue: must be lower case letters, digits, `-` and `.`, got the string "Team A"'],
    ),
    "a controller without a domain": (
        job("spec", "managedBy", value="mine"),
        ['spec.managedBy: must be written as domain/name, got the string "mine"'],
    ),
    "topology without a key": (
        job("spec", "scheduling", "topology", value={"mode": "Strict"}),
        [
            "spec.scheduling.topology.key: is required",
            'spec.scheduling.topology.mode: must be Required or Preferred, got the string "Strict"',
        ],
    ),
    "topology by no label": (
        job("spec", "scheduling", "topology", value={"key": "a/b/c"}),
        ['spec.scheduling.topology.key: must be the key of a label, got the string "a/b/c"'],
    ),
    "strategy of a later version": (
        job("spec", "strategy", value="ModelParallel"),
        ["spec.strategy: ModelParallel is not supported by this version: it must be AllReduce or ParameterServer"],
    ),
    "misspelt strategy": (
        job("spec", "strategy", value="Allreduce"),
        ['spec.strategy: must be AllReduce or ParameterServer, got the string "Allreduce"; did you mean AllReduce?'],
    ),
    "a parameter server of an allreduce": (
        job("spec", value={**VALID["spec"], "server": {"replicas": 2}, "parameterServer": {"backups": 1}}),
        [
            "spec.parameterServer: belongs to strategy ParameterServer, and this is AllReduce",
            "spec.server: belongs to strategy ParameterServer, and this is AllReduce",
        ],
    ),
    "an allreduce of a parameter server": (
        parameter_server(allReduce={"backend": "Torch"}),
        ["spec.allReduce: belongs to strategy AllReduce, and this is ParameterServer"],
    ),
    "more backups than servers": (
        parameter_server(server={"replicas": 2}, parameterServer={"backups": 2}),
        ["spec.parameterServer.backups: must be less than the number of shards, got 2 of 2 shards"],
    ),
    "staleness of nobody": (
        parameter_server(parameterServer={"consistency": "Async", "staleness": 1}),
        ["spec.parameterServer.staleness: works with consistency Bounded only, and this is Async"],
    ),
    "colocated servers with pods": (
        parameter_server(server={"colocated": True, "replicas": 3, "template": {"spec": {"containers": [TRAINER]}}}),
        [
            "spec.server.replicas: cannot be set with colocated: each worker pod carries one shard",
            "spec.server.template: cannot be set with colocated: the shards run in the worker pods",
        ],
    ),
    "a server's template": (
        parameter_server(server={"template": {"spec": {"containers": [{"name": "s"}], "hostname": "x"}}}),
        [
            "spec.server.template.spec.containers[0].image: is required",
            "spec.server.template.spec.hostname: cannot be set: the operator gives every pod its own",
        ],
    ),
    "consistency in other words": (
        parameter_server(parameterServer={"consistency": "sync"}),
        [
            "spec.parameterServer.consistency: must be Sync or Bounded or Async, "
            'got the string "sync"; did you mean Sync?'
        ],
    ),
    "backend is a list": (
        job("spec", "allReduce", "backend", value=["Torch"]),
        ["spec.allReduce.backend: must be Horovod or Torch, got a list"],
    ),
    "Horovod's tuning for Torch": (
        job("spec", "allReduce", value={"backend": "Torch", "timeoutSeconds": 5, "timelineFile": "t"}),
        [
            "spec.allReduce.timelineFile: works with backend Horovod only, and this is Torch",
            "spec.allReduce.timeoutSeconds: works with backend Horovod only, and this is Torch",
        ],
    ),
    "tuning out of bounds": (
        job("spec", "allReduce", value={"timelineFile": "", "cycleTimeMilliseconds": 0, "timeoutSeconds": 86_401}),
        [
            "spec.allReduce.cycleTimeMilliseconds: must be at least 1, got 0",
            "spec.allReduce.timelineFile: must not be empty",
            "spec.allReduce.timeoutSeconds: must be at most 86400, got 86401",
        ],
    ),
    "timeline's path too long": (
        job("spec", "allReduce", "timelineFile", value="/" * 1025),
        ["spec.allReduce.timelineFile: must be at most 1024 characters, got 1025"],
    ),
    "timeline's path a number": (
        job("spec", "allReduce", "timelineFile", value=5),
        ["spec.allReduce.timelineFile: must be a string, got 5"],
    ),
    "cleanup is a word": (
        job("spec", "cleanup", value="All"),
        ['spec.cleanup: must be a mapping, got the string "All"'],
    ),
    "a network policy that is not ours": (
        job("spec", "network", value={"policy": "Namespace"}),
        ['spec.network.policy: must be JobOnly or None, got the string "Namespace"'],
    ),
    "a network policy without its name": (
        job("spec", "network", value="JobOnly"),
        ['spec.network: must be a mapping, got the string "JobOnly"'],
    ),
    "no template": (job("spec", "worker", value={}), ["spec.worker.template: is required"]),
    "template is a list": (
        job("spec", "worker", "template", value=[]),
        ["spec.worker.template: must be a mapping, got a list"],
    ),
    "template without spec": (
        job("spec", "worker", "template", value={}),
        ["spec.worker.template.spec: is required"],
    ),
    "template's spec is a word": (
        job("spec", "worker", "template", "spec", value="x"),
        ['spec.worker.template.spec: must be a mapping, got the string "x"'],
    ),
    "several at once, of structure and of our own": (
        with_value(in_trainer("comand", value=["x"]), "spec", "worker", "replicas", value=-1),
        [
            "spec.worker.replicas: must be at least 1, got -1",
            f"{C0}.comand: unknown field; did you mean `command`?",
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), BAD.values(), ids=BAD.keys())
def test_every_problem_is_named(obj: Any, expected: list[str]) -> None:
    assert problems(obj) == expected


def test_bottomless_nesting_is_a_problem_and_no_crash() -> None:
    bottomless: list[Any] = []
    for _ in range(5000):
        bottomless = [bottomless]
    assert problems({**VALID, "metadata": bottomless}) == ["metadata: is required: it holds the job's name"]
    assert problems({**VALID, "spec": {"worker": {"template": {"spec": {"containers": bottomless}}}}}) == [
        f"{POD}.containers[0]: must be a mapping, got a list"
    ]
    assert problems({**VALID, "spec": {**VALID["spec"], "strategy": bottomless}}) == ["spec: is nested too deeply"]


def newer(obj: Any) -> Any:
    """With a limit of 5 restarts, and fields that a newer CRD and API server added wherever they may."""
    at_root = {**obj, "metadata": {**obj["metadata"], "fromTheFuture": {"x": 1}}, "fromTheFuture": 1}
    in_spec = with_value(at_root, "spec", "fromTheFuture", value={"mode": "New"})
    return with_value(in_spec, "spec", "restart", value={"limit": 5, "fromTheFuture": 7})


def test_a_stored_job_of_a_newer_crd_is_the_job_that_it_was() -> None:
    stored = with_value(VALID, "metadata", value={"name": "digits", "uid": UID, "generation": 2})
    assert parse(newer(stored)) == parse(with_value(stored, "spec", "restart", value={"limit": 5}))


def test_a_file_may_have_no_field_of_the_future() -> None:
    assert problems(newer(VALID)) == [
        "fromTheFuture: unknown field",
        "metadata.fromTheFuture: unknown field",
        "spec.fromTheFuture: unknown field",
        "spec.restart.fromTheFuture: unknown field",
    ]


def test_nobody_prunes_a_stored_template() -> None:
    stored = with_value(in_trainer("comand", value=["x"]), "metadata", "uid", value=UID)
    assert problems(stored) == [f"{C0}.comand: unknown field; did you mean `command`?"]


def test_problems_are_sorted_and_given_once() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse({**VALID, "metadata": {"nam": 1}, "spec": {"worker": {"template": {}}, "b": 1, "a": 1}})
    errors = caught.value.errors
    assert list(errors) == sorted(set(errors))
    assert str(caught.value) == "; ".join(map(str, errors))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def found(obj: Any) -> tuple[FieldError, ...] | None:
    """None for a valid job; anything but InvalidSpec is not caught."""
    try:
        parse(obj)
    except InvalidSpec as error:
        return error.errors
    return None


@given(JSON)
def test_any_json_is_a_job_or_has_problems(obj: Any) -> None:
    assert found(obj) != ()


PLACES = [
    ("metadata",),
    ("metadata", "name"),
    ("spec",),
    ("spec", "worker"),
    ("spec", "allReduce"),
    ("spec", "strategy"),
    ("spec", "worker", "replicas"),
    ("spec", "worker", "template"),
    ("spec", "worker", "template", "metadata"),
    ("spec", "worker", "template", "spec"),
    *(("spec", "worker", "template", "spec", field) for field in ("containers", "volumes", "initContainers")),
    *(
        ("spec", "worker", "template", "spec", "containers", 0, field)
        for field in ("name", "env", "command", "resources", "volumeMounts", "readinessProbe")
    ),
]


@given(st.sampled_from(PLACES), JSON)
def test_any_json_at_any_place_is_a_job_or_has_problems(place: tuple[str | int, ...], value: Any) -> None:
    assert found(job(*place, value=value)) != ()
