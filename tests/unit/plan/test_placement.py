"""Queue, topology and priority: what they add to the template, and that the user's own words stay."""

from __future__ import annotations

from typing import Any

import pytest
from support.jobs import UID, job, with_value
from trireme.plan import kueue
from trireme.plan.plan import Plan, Unavailable
from trireme.plan.planner import plan
from trireme.spec.parse import parse

ZONE = "topology.kubernetes.io/zone"
OURS = {"matchLabels": {"app.kubernetes.io/managed-by": "trireme", "trireme.dev/job": "digits"}}
TERM = {"labelSelector": OURS, "topologyKey": ZONE}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
THEIRS = {"labelSelector": {"matchLabels": {"app": "cache"}}, "topologyKey": "kubernetes.io/hostname"}


def planned(said: dict[str, Any], **pod: Any) -> Plan:
    made = job("spec", "scheduling", value=said)
    for key, value in pod.items():
        made = with_value(made, "spec", "worker", "template", "spec", key, value=value)
    return plan(parse({**made, "metadata": {**made["metadata"], "uid": UID}}), attempt=0, agent="abc")


def test_a_queue_is_a_few_words_on_each_pod() -> None:
    made = planned({"queue": "team"})
    metadata = made.templates["worker"]["metadata"]
    assert metadata["labels"] == {
        "kueue.x-k8s.io/queue-name": "team",
        "kueue.x-k8s.io/pod-group-name": f"tj-digits-{made.digest[:8]}",
    }
    assert metadata["annotations"] == {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "kueue.x-k8s.io/pod-group-total-count": "2",
        "kueue.x-k8s.io/retriable-in-group": "false",
        "kueue.x-k8s.io/pod-group-pod-index-label": "trireme.dev/index",
    }


@pytest.mark.parametrize(
    ("said", "served", "missing"),
    [
        ({"queue": "team"}, [("kueue.x-k8s.io/v1beta1", "LocalQueue")], None),
        ({"queue": "team"}, [("kueue.x-k8s.io/v1beta2", "LocalQueue")], None),
        ({"queue": "team", "gang": "Volcano"}, [], None),
        ({}, [], None),
        (
            {"queue": "team"},
            [("kueue.x-k8s.io/v1beta1", "Workload")],
            Unavailable("QueueUnavailable", "queue team needs Kueue, and the API server serves no LocalQueue"),
        ),
    ],
    ids=["v1beta1", "v1beta2", "Volcano's queue", "no queue", "no Kueue"],
)
def test_a_queue_needs_kueue(said: dict[str, str], served: list[tuple[str, str]], missing: Unavailable | None) -> None:
    assert kueue.unavailable(planned(said).job.spec.scheduling, set(served)) == missing


def test_volcanos_queue_is_not_kueues() -> None:
    assert planned({"queue": "team", "gang": "Volcano"}).templates["worker"]["metadata"]["labels"] == {}


@pytest.mark.parametrize(
    ("topology", "affinity", "expected"),
    [
        pytest.param({"key": ZONE}, None, {"podAffinity": {REQUIRED: [TERM]}}, id="required"),
        pytest.param(
            {"key": ZONE, "mode": "Preferred"},
            None,
            {"podAffinity": {PREFERRED: [{"weight": 100, "podAffinityTerm": TERM}]}},
            id="preferred",
        ),
        pytest.param(
            {"key": ZONE},
            {"nodeAffinity": {}, "podAffinity": {REQUIRED: [THEIRS]}},
            {"nodeAffinity": {}, "podAffinity": {REQUIRED: [THEIRS, TERM]}},
            id="beside the user's own",
        ),
    ],
)
def test_topology(topology: dict[str, str], affinity: Any, expected: Any) -> None:
    assert planned({"topology": topology}, affinity=affinity).templates["worker"]["spec"]["affinity"] == expected


def test_the_domain_that_pods_learn_is_the_topologys() -> None:
    (trainer,) = planned({"topology": {"key": "example.com/rack"}}).templates["worker"]["spec"]["containers"]
    (domain,) = (each["valueFrom"] for each in trainer["env"] if each["name"] == "TRIREME_DOMAIN")
    assert domain == {"fieldRef": {"fieldPath": "metadata.labels['example.com/rack']"}}


def test_priority() -> None:
    assert planned({"priorityClassName": "high"}).templates["worker"]["spec"]["priorityClassName"] == "high"
    assert planned({}, priorityClassName="low").templates["worker"]["spec"]["priorityClassName"] == "low"


def test_each_word_makes_another_plan() -> None:
    said = [{}, {"queue": "a"}, {"queue": "b"}, {"priorityClassName": "high"}, {"topology": {"key": ZONE}}]
    assert len({planned(each).digest for each in said}) == len(said)
