"""plan: dense ranks, one digest for one meaning, and nothing copied that can be shared."""

from __future__ import annotations

import gc
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import VALID, in_trainer, job, parameter_server
from trireme.contract.ranks import places
from trireme.plan import manifests
from trireme.plan.plan import Plan, PodPlan
from trireme.plan.planner import plan
from trireme.spec.parse import parse

AGENT = "0123456789abcdef"


def planned(obj: Any = VALID, attempt: int = 0, agent: str = AGENT) -> Plan:
    return plan(parse(obj), attempt=attempt, agent=agent)


def test_one_pod_for_each_replica() -> None:
    assert planned(job("spec", "worker", "processesPerReplica", value=4)).pods == (
        PodPlan("worker", 0, 4, "digits-worker-0"),
        PodPlan("worker", 1, 4, "digits-worker-1"),
    )


TUNING = {
    "Horovod's defaults": ({}, (("HOROVOD_GLOO_TIMEOUT_SECONDS", "600"),)),
    "all of Horovod's tuning": (
        {"timeoutSeconds": 60, "fusionThresholdBytes": 0, "cycleTimeMilliseconds": 5, "timelineFile": "/t.json"},
        (
            ("HOROVOD_GLOO_TIMEOUT_SECONDS", "60"),
            ("HOROVOD_FUSION_THRESHOLD", "0"),
            ("HOROVOD_CYCLE_TIME", "5"),
            ("HOROVOD_TIMELINE", "/t.json"),
        ),
    ),
    "Torch needs none": ({"backend": "Torch"}, ()),
}


@pytest.mark.parametrize(("tuning", "expected"), TUNING.values(), ids=TUNING.keys())
def test_tuning_becomes_variables(tuning: Any, expected: tuple[tuple[str, str], ...]) -> None:
    made = planned(job("spec", "allReduce", value=tuning))
    variables = manifests.pod(made, made.pods[0])["spec"]["containers"][0]["env"]
    assert made.environment == expected
    assert [(v["name"], v["value"]) for v in variables if v["name"].startswith("HOROVOD")] == list(expected)


@given(st.integers(1, 40), st.integers(1, 16))
def test_ranks_are_dense(replicas: int, processes: int) -> None:
    worker = {**VALID["spec"]["worker"], "replicas": replicas, "processesPerReplica": processes}
    pods = planned(job("spec", "worker", value=worker)).pods
    assert [pod.index for pod in pods] == list(range(replicas))
    members = places([pod.slots for pod in pods])
    assert [place.rank for member in members for place in member] == list(range(replicas * processes))


def test_the_order_of_keys_does_not_matter() -> None:
    turned = json.loads(json.dumps(VALID), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert list(turned) != list(VALID)
    assert planned(turned).digest == planned().digest


def test_the_digest_is_the_same_on_every_machine() -> None:
    """A constant on purpose: an operator that is restarted, or upgraded, replaces no pod."""
    assert planned().digest == "7061470f0ad696e3"


SAME = {
    "another attempt": lambda: planned(attempt=3),
    "another cleanup": lambda: planned(job("spec", "cleanup", value={"pods": "All"})),
    "a default that is spelt out": lambda: planned(job("spec", "allReduce", value={"backend": "Horovod"})),
    "another agent": lambda: planned(agent="fedcba9876543210"),
    "another limit of restarts": lambda: planned(job("spec", "restart", value={"limit": 0})),
    "other deadlines": lambda: planned(job("spec", "deadlines", value={"activeSeconds": 5})),
    "another generation": lambda: planned(job("metadata", "generation", value=9)),
}

OTHER = {
    "replicas": lambda: planned(job("spec", "worker", "replicas", value=3)),
    "processes": lambda: planned(job("spec", "worker", "processesPerReplica", value=2)),
    "command": lambda: planned(in_trainer("command", value=["x"])),
    "labels": lambda: planned(job("spec", "worker", "template", "metadata", value={"labels": {"a": "b"}})),
    "backend": lambda: planned(job("spec", "allReduce", value={"backend": "Torch"})),
    "tuning": lambda: planned(job("spec", "allReduce", value={"timeoutSeconds": 5})),
    "job": lambda: planned(job("metadata", "uid", value="another")),
    "scope of restarts": lambda: planned(job("spec", "restart", value={"scope": "All"})),
    "hang": lambda: planned(job("spec", "deadlines", value={"hangSeconds": 5})),
}


@pytest.mark.parametrize("make", SAME.values(), ids=SAME.keys())
def test_the_digest_stays(make: Any) -> None:
    assert make().digest == planned().digest


@pytest.mark.parametrize("make", OTHER.values(), ids=OTHER.keys())
def test_the_digest_changes(make: Any) -> None:
    assert make().digest != planned().digest


def test_a_queue_admits_each_attempt_anew() -> None:
    queued = job("spec", "scheduling", value={"queue": "research"})
    assert planned(queued).digest != planned(queued, attempt=1).digest


def test_ten_thousand_pods_share_one_template_and_take_under_half_a_second() -> None:
    gc.freeze()  # a collection of what other tests have left would take longer than all of it
    try:
        began = time.thread_time()
        made = planned(job("spec", "worker", "replicas", value=10_000))
        written = [manifests.pod(made, pod) for pod in made.pods]
        assert time.thread_time() - began < 0.5  # of the processor; 0.1 s measured
    finally:
        gc.unfreeze()
    first, last = written[0]["spec"], written[-1]["spec"]
    assert len({pod["metadata"]["name"] for pod in written}) == 10_000
    assert last["volumes"] is first["volumes"]
    assert last["containers"][0]["volumeMounts"] is first["containers"][0]["volumeMounts"]
    assert all(a is b for a, b in zip(first["containers"][0]["env"][5:], last["containers"][0]["env"][5:], strict=True))


def test_a_parameter_server_has_pods_of_its_own() -> None:
    made = planned(parameter_server(server={"replicas": 2}, parameterServer={"consistency": "Bounded", "backups": 1}))
    assert made.pods == (
        PodPlan("worker", 0, 1, "digits-worker-0"),
        PodPlan("worker", 1, 1, "digits-worker-1"),
        PodPlan("server", 0, 0, "digits-server-0", 1),
        PodPlan("server", 1, 0, "digits-server-1", 1),
    )
    assert made.environment == (
        ("TRIREME_PS_SERVERS", "2"),
        ("TRIREME_PS_CONSISTENCY", "Bounded"),
        ("TRIREME_PS_STALENESS", "4"),
        ("TRIREME_PS_BACKUPS", "1"),
    )


def test_colocated_shards_are_in_the_workers() -> None:
    made = planned(parameter_server(server={"colocated": True}))
    assert made.pods == (
        PodPlan("worker", 0, 1, "digits-worker-0", 1),
        PodPlan("worker", 1, 1, "digits-worker-1", 1),
    )
    assert dict(made.environment)["TRIREME_PS_SERVERS"] == "2"
    assert made.roles == ("worker",)


def test_a_change_of_the_servers_is_another_plan() -> None:
    template = {"spec": {"containers": [{"name": "trainer", "image": "another"}]}}
    digests = {
        planned(parameter_server(server=server)).digest
        for server in ({}, {"replicas": 2}, {"replicas": 2}, {"template": template})
    }
    assert len(digests) == 3
