"""The rules between fields that the API server knows: what is refused, with which words, and what goes through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import VALID, job, parameter_server, with_value
from support.stored import causes
from trireme.spec.errors import InvalidSpec
from trireme.spec.parse import parse

STARTED = {"startTime": "2026-01-01T00:00:00Z"}


def elastic(replicas: int, **limits: int) -> Any:
    """A started job that may have 2 to 4 workers."""
    worker = {**VALID["spec"]["worker"], "replicas": replicas}
    said = {"minReplicas": 2, "maxReplicas": 4, **limits}
    return {**job("spec", value={"worker": worker, "elastic": said}), "status": STARTED}


NAME = (
    "<nil>",
    "metadata.name must be at most 50 characters without a dot: it begins the hostnames of the pods, which may have 63",
)
HOROVOD = "works with backend Horovod only"
LIMITS = {"minReplicas": 2, "maxReplicas": 4}
NO_SERVERS = "cannot be set with colocated: each worker pod carries one shard"
NO_TEMPLATE = "cannot be set with colocated: the shards run in the worker pods"
NO_ALL_REDUCE = "belongs to strategy AllReduce: leave it out with another"
NO_PARAMETER_SERVER = "belongs to strategy ParameterServer: leave it out with another"
SHARDS = "must be less than the number of shards: server.replicas, or worker.replicas when they are colocated"
NOT_ALL = "an elastic job needs Failed: it goes on with the pods that run, and All restarts every pod"
NOT_COLOCATED = "an elastic job needs servers of their own: shards in worker pods would come and go with them"
NOT_SYNC = "an elastic job needs Bounded or Async: Sync waits for the push of every worker"
NO_QUEUE = "leave it out of an elastic job, or use gang Volcano: Kueue admits a fixed number of pods at once"
TEMPLATE = {"spec": {"containers": [{"name": "trainer", "image": "img"}]}}


def all_reduce(**spec: Any) -> Any:
    return with_value(VALID, "spec", value={**VALID["spec"], **spec})


CREATED: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "the least job": (VALID, []),
    "name of 50": (job("metadata", "name", value="x" * 50), []),
    "name of 51": (job("metadata", "name", value="x" * 51), [NAME]),
    "name with a dot": (job("metadata", "name", value="a.b"), [NAME]),
    "a queue and a gang": (
        job("spec", "scheduling", value={"queue": "team", "gang": "Native"}),
        [("spec.scheduling.queue", "Kueue admits all pods at once: leave gang out")],
    ),
    "Volcano's queue": (job("spec", "scheduling", value={"queue": "team", "gang": "Volcano"}), []),
    "Horovod's tuning": (job("spec", "allReduce", value={"timeoutSeconds": 5}), []),
    "Horovod's tuning for Torch": (
        job("spec", "allReduce", value={"backend": "Torch", "cycleTimeMilliseconds": 5}),
        [("spec.allReduce.cycleTimeMilliseconds", HOROVOD)],
    ),
    "an allreduce that spells out a parameter server's defaults": (
        all_reduce(server={"replicas": 1, "colocated": False}, parameterServer={"consistency": "Sync", "backups": 0}),
        [],
    ),
    "servers of an allreduce": (all_reduce(server={"replicas": 2}), [("spec.server", NO_PARAMETER_SERVER)]),
    "servers of an allreduce, with a template": (
        all_reduce(server={"template": TEMPLATE}),
        [("spec.server", NO_PARAMETER_SERVER)],
    ),
    "colocated servers of an allreduce": (
        all_reduce(server={"colocated": True}),
        [("spec.server", NO_PARAMETER_SERVER)],
    ),
    "consistency of an allreduce": (
        all_reduce(parameterServer={"consistency": "Async"}),
        [("spec.parameterServer", NO_PARAMETER_SERVER)],
    ),
    "staleness of an allreduce": (
        all_reduce(parameterServer={"consistency": "Bounded", "staleness": 0}),
        [("spec.parameterServer", NO_PARAMETER_SERVER)],
    ),
    "backups of an allreduce": (
        all_reduce(parameterServer={"backups": 1}),
        [("spec.parameterServer", NO_PARAMETER_SERVER)],
    ),
    "the least parameter server": (parameter_server(), []),
    "a parameter server that spells out an allreduce's default": (
        parameter_server(allReduce={"backend": "Horovod"}),
        [],
    ),
    "the backend of a parameter server": (
        parameter_server(allReduce={"backend": "Torch"}),
        [("spec.allReduce", NO_ALL_REDUCE)],
    ),
    **{
        f"{field} of a parameter server": (
            parameter_server(allReduce={field: value}),
            [("spec.allReduce", NO_ALL_REDUCE)],
        )
        for field, value in (
            ("timeoutSeconds", 5),
            ("fusionThresholdBytes", 0),
            ("cycleTimeMilliseconds", 5),
            ("timelineFile", "t"),
        )
    },
    "staleness of a bounded parameter server": (
        parameter_server(parameterServer={"consistency": "Bounded", "staleness": 1}),
        [],
    ),
    "staleness of nobody": (
        parameter_server(parameterServer={"consistency": "Async", "staleness": 1}),
        [("spec.parameterServer.staleness", "works with consistency Bounded only")],
    ),
    "colocated servers": (parameter_server(server={"colocated": True}), []),
    "colocated servers with pods": (
        parameter_server(server={"colocated": True, "replicas": 2}),
        [("spec.server.replicas", NO_SERVERS)],
    ),
    "colocated servers with a template": (
        parameter_server(server={"colocated": True, "template": TEMPLATE}),
        [("spec.server.template", NO_TEMPLATE)],
    ),
    "a backup of two servers": (parameter_server(server={"replicas": 2}, parameterServer={"backups": 1}), []),
    "two backups of two servers": (
        parameter_server(server={"replicas": 2}, parameterServer={"backups": 2}),
        [("spec.parameterServer.backups", SHARDS)],
    ),
    "a backup of the one server that is there by default": (
        parameter_server(parameterServer={"backups": 1}),
        [("spec.parameterServer.backups", SHARDS)],
    ),
    "a backup of two colocated servers": (
        parameter_server(server={"colocated": True}, parameterServer={"backups": 1}),
        [],
    ),
    "two backups of two colocated servers": (
        parameter_server(server={"colocated": True}, parameterServer={"backups": 2}),
        [("spec.parameterServer.backups", SHARDS)],
    ),
    "an elastic job": (all_reduce(elastic=LIMITS, restart={"scope": "Failed"}), []),
    "an elastic job of which all pods restart": (
        all_reduce(elastic=LIMITS, restart={"scope": "All"}),
        [("spec.restart.scope", NOT_ALL)],
    ),
    "an elastic job in a queue": (
        all_reduce(elastic=LIMITS, scheduling={"queue": "team"}),
        [("spec.scheduling.queue", NO_QUEUE)],
    ),
    "an elastic job in Volcano's queue": (
        all_reduce(elastic=LIMITS, scheduling={"queue": "team", "gang": "Volcano"}),
        [],
    ),
    "an elastic parameter server": (
        parameter_server(elastic=LIMITS, parameterServer={"consistency": "Bounded"}),
        [],
    ),
    "an elastic parameter server that waits for everybody": (
        parameter_server(elastic=LIMITS),
        [("spec.parameterServer.consistency", NOT_SYNC)],
    ),
    "an elastic parameter server in the workers": (
        parameter_server(elastic=LIMITS, server={"colocated": True}, parameterServer={"consistency": "Async"}),
        [("spec.server.colocated", NOT_COLOCATED)],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CREATED.values(), ids=CREATED.keys())
def test_rules_on_creation(obj: Any, expected: list[tuple[str, str]]) -> None:
    assert causes(obj) == expected


IMMUTABLE = "field is immutable"


def served(**server: Any) -> Any:
    """A parameter server's job that has started."""
    return {**parameter_server(server={"replicas": 2, **server}), "status": STARTED}


def image(name: str) -> Any:
    return {"spec": {"containers": [{"name": "trainer", "image": name}]}}


CHECKPOINTED = job("spec", "checkpoint", value={"directory": "/checkpoints"})

CHANGED: dict[str, tuple[Any, Any, list[tuple[str, str]]]] = {
    "nothing": (VALID, VALID, []),
    "cleanup": (VALID, job("spec", "cleanup", value={"pods": "All"}), []),
    "the template": (VALID, job("spec", "worker", "template", "metadata", value={"labels": {"a": "b"}}), []),
    "replicas before the start": (VALID, job("spec", "worker", "replicas", value=3), []),
    "replicas after the start": (
        {**VALID, "status": STARTED},
        {**job("spec", "worker", "replicas", value=3), "status": STARTED},
        [
            (
                "spec.worker.replicas",
                "replicas cannot change after the job has started, unless it is elastic (spec.elastic)",
            )
        ],
    ),
    "replicas of an elastic job": (elastic(2), elastic(4), []),
    "fewer than the minimum": (
        elastic(2),
        elastic(1),
        [("spec.worker.replicas", "replicas must be at least elastic.minReplicas")],
    ),
    "more than the maximum": (
        elastic(2),
        elastic(5),
        [("spec.worker.replicas", "replicas must be at most elastic.maxReplicas")],
    ),
    "limits after the start": (
        elastic(2),
        elastic(2, maxReplicas=8),
        [("spec.elastic", "elastic cannot change after the job has started")],
    ),
    "an elastic job that is none any more": (
        elastic(2),
        {**VALID, "status": STARTED},
        [("spec.elastic", "elastic cannot change after the job has started")],
    ),
    "a default that is spelt out": (VALID, job("spec", "allReduce", value={"backend": "Horovod"}), []),
    "the backend": (VALID, job("spec", "allReduce", value={"backend": "Torch"}), [("spec.allReduce", IMMUTABLE)]),
    "the servers' template": (served(template=image("a")), served(template=image("b")), []),
    "a template that the servers did not have": (served(), served(template=image("a")), []),
    "the number of servers": (served(), served(replicas=3), [("spec.server.replicas", IMMUTABLE)]),
    "where the shards are": (
        served(replicas=1),
        served(replicas=1, colocated=True),
        [("spec.server.colocated", IMMUTABLE)],
    ),
    "an elastic job's restarts, to all pods": (
        elastic(2),
        with_value(elastic(2), "spec", "restart", value={"scope": "All"}),
        [("spec.restart.scope", NOT_ALL)],
    ),
    "fewer workers than shards are needed, before the start": (
        parameter_server(server={"colocated": True}, parameterServer={"backups": 1}),
        with_value(
            parameter_server(server={"colocated": True}, parameterServer={"backups": 1}),
            *("spec", "worker", "replicas"),
            value=1,
        ),
        [("spec.parameterServer.backups", SHARDS)],
    ),
    "suspension": (VALID, job("spec", "suspend", value=True), []),
    "the queue before the start": (VALID, job("spec", "scheduling", value={"queue": "team"}), []),
    "the queue after the start": (
        {**VALID, "status": STARTED},
        {**job("spec", "scheduling", value={"queue": "team"}), "status": STARTED},
        [("spec.scheduling", "scheduling cannot change after the job has started")],
    ),
    "the controller": (VALID, job("spec", "managedBy", value="example.com/mine"), [("spec.managedBy", IMMUTABLE)]),
    "the network policy": (
        VALID,
        job("spec", "network", value={"policy": "None"}),
        [("spec.network", IMMUTABLE)],
    ),
    "a checkpoint that was not there": (VALID, CHECKPOINTED, [("spec.checkpoint", IMMUTABLE)]),
    "the checkpoint's directory": (
        CHECKPOINTED,
        job("spec", "checkpoint", value={"directory": "/others"}),
        [("spec.checkpoint", IMMUTABLE)],
    ),
    "the same checkpoint": (CHECKPOINTED, CHECKPOINTED, []),
    "processes that were not given": (
        VALID,
        job("spec", "worker", "processesPerReplica", value=2),
        [("spec.worker.processesPerReplica", IMMUTABLE)],
    ),
    "processes taken away": (
        job("spec", "worker", "processesPerReplica", value=2),
        VALID,
        [("spec.worker.processesPerReplica", IMMUTABLE)],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED.values(), ids=CHANGED.keys())
def test_rules_on_change(old: Any, new: Any, expected: list[tuple[str, str]]) -> None:
    assert causes(new, old) == expected


OF_AN_OLDER_CRD = {name: obj for name, (obj, expected) in CREATED.items() if expected and not name.startswith("name")}


@pytest.mark.parametrize("obj", OF_AN_OLDER_CRD.values(), ids=OF_AN_OLDER_CRD.keys())
def test_the_status_of_a_stored_job_can_be_written_whatever_rules_came_since(obj: Any) -> None:
    labelled = with_value(obj, "metadata", "labels", value={"a": "b"})
    assert causes({**labelled, "status": {"phase": "Failed", **STARTED}}, {**obj, "status": {"phase": "Pending"}}) == []


def blocks(**fields: Any) -> Any:
    """Some fields of a block, or none at all."""
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in fields.items()})


SPECS = st.fixed_dictionaries(
    {"strategy": st.sampled_from(["AllReduce", "ParameterServer"])},
    optional={
        "allReduce": blocks(backend=["Horovod", "Torch"], timeoutSeconds=[5], fusionThresholdBytes=[0]),
        "server": blocks(replicas=[1, 2], colocated=[False, True], template=[TEMPLATE]),
        "parameterServer": blocks(consistency=["Sync", "Bounded", "Async"], staleness=[0, 4], backups=[0, 1, 2]),
        "elastic": st.fixed_dictionaries({"minReplicas": st.integers(1, 3), "maxReplicas": st.integers(1, 3)}),
        "restart": blocks(scope=["Failed", "All"]),
        "scheduling": blocks(queue=["team"], gang=["Auto", "None", "Native", "Volcano", "Coscheduling"]),
    },
)
LIMIT = ("spec.elastic.minReplicas", "spec.elastic.maxReplicas")


@given(SPECS)
def test_what_parse_refuses_the_api_server_refuses_at_the_same_places(spec: Any) -> None:
    obj = all_reduce(**spec)
    try:
        parse(obj)
        places = set()
    except InvalidSpec as invalid:  # kubectl scale changes the replicas: they are to blame there
        places = {"spec.worker.replicas" if error.path in LIMIT else error.path for error in invalid.errors}
    assert {field for field, _ in causes(obj)} == places
