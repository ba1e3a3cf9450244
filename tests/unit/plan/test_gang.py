"""Gangs as tables: what a job takes of what a cluster serves, the group it makes, how pods are linked to it."""

from __future__ import annotations

from typing import Any

import pytest
from support.jobs import UID, VALID, job, with_value
from trireme.plan import gang, manifests
from trireme.plan.plan import GroupKind, Plan, Unavailable
from trireme.plan.planner import plan
from trireme.plan.support import support
from trireme.spec.model import JobSpec
from trireme.spec.parse import parse

V1BETA1, V1ALPHA2, V1ALPHA1 = GroupKind.NATIVE_V1BETA1, GroupKind.NATIVE_V1ALPHA2, GroupKind.NATIVE_V1ALPHA1
VOLCANO, COSCHEDULING = GroupKind.VOLCANO, GroupKind.COSCHEDULING
ALL = frozenset(GroupKind)
TEMPLATE = ("spec", "worker", "template", "spec")


def asked(gang: str | None = None, scheduler: str | None = None, queue: str | None = None) -> JobSpec:
    said = {key: value for key, value in (("gang", gang), ("queue", queue)) if value}
    made = job("spec", "scheduling", value=said)
    return parse(with_value(made, *TEMPLATE, "schedulerName", value=scheduler) if scheduler else made).spec


@pytest.mark.parametrize(
    ("spec", "served", "expected"),
    [
        pytest.param(asked(), set(), None, id="auto: nothing there"),
        pytest.param(asked(), ALL, V1BETA1, id="auto: everything there"),
        pytest.param(asked(), {V1ALPHA1, V1ALPHA2}, V1ALPHA2, id="auto: the newest version"),
        pytest.param(asked(), {VOLCANO, COSCHEDULING}, VOLCANO, id="auto: Volcano brings its own scheduler"),
        pytest.param(asked(), {COSCHEDULING}, COSCHEDULING, id="auto: Coscheduling"),
        pytest.param(asked(scheduler="volcano"), ALL, VOLCANO, id="auto: the template says volcano"),
        pytest.param(asked(scheduler="volcano"), {V1BETA1}, None, id="auto: volcano is not there"),
        pytest.param(asked(scheduler="mine"), {VOLCANO, COSCHEDULING}, COSCHEDULING, id="auto: a scheduler of theirs"),
        pytest.param(asked(scheduler="mine"), {VOLCANO}, None, id="auto: their scheduler is not Volcano"),
        pytest.param(asked(queue="team"), ALL, None, id="auto: a queue admits the pods"),
        pytest.param(asked("None"), ALL, None, id="none"),
        pytest.param(asked("Native"), ALL, V1BETA1, id="native"),
        pytest.param(asked("Native"), {V1ALPHA1}, V1ALPHA1, id="native: Kubernetes 1.35"),
        pytest.param(asked("Volcano"), ALL, VOLCANO, id="volcano"),
        pytest.param(asked("Volcano", queue="team"), ALL, VOLCANO, id="volcano with a queue of its own"),
        pytest.param(asked("Coscheduling"), ALL, COSCHEDULING, id="coscheduling"),
    ],
)
def test_choice(spec: JobSpec, served: set[GroupKind], expected: GroupKind | None) -> None:
    kinds = {kind.value for kind in served}
    assert gang.choose(spec, kinds) is expected
    assert gang.unavailable(spec, kinds) is None


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (
            asked("Volcano"),
            "gang Volcano needs PodGroup of scheduling.volcano.sh/v1beta1, and the API server serves none",
        ),
        (
            asked("Native"),
            "gang Native needs PodGroup of scheduling.k8s.io/v1beta1 or PodGroup of scheduling.k8s.io/v1alpha2 or "
            "Workload of scheduling.k8s.io/v1alpha1, and the API server serves none",
        ),
    ],
    ids=["Volcano", "Native"],
)
def test_a_gang_that_cannot_be_had(spec: JobSpec, reason: str) -> None:
    served = {kind.value for kind in ALL - set(gang.wanted(spec))}
    assert gang.choose(spec, served) is None
    assert gang.unavailable(spec, served) == Unavailable("GangUnavailable", reason)


def planned(obj: Any = VALID, group: GroupKind | None = None, suspensions: int = 0) -> Plan:
    placed = {**obj, "metadata": {**obj["metadata"], "uid": UID, "namespace": "team"}}
    return plan(parse(placed), attempt=0, agent="abc", group=group, suspensions=suspensions)


GROUPS = {
    V1BETA1: {"schedulingPolicy": {"gang": {"minCount": 2}}},
    V1ALPHA2: {"schedulingPolicy": {"gang": {"minCount": 2}}},
    V1ALPHA1: {"podGroups": [{"name": "worker", "policy": {"gang": {"minCount": 2}}}]},
    VOLCANO: {"minMember": 2, "queue": "team", "priorityClassName": "high"},
    COSCHEDULING: {"minMember": 2},
}


@pytest.mark.parametrize(("kind", "spec"), GROUPS.items(), ids=[kind.name for kind in GROUPS])
def test_the_group_is_the_last_thing_that_pods_lean_on(kind: GroupKind, spec: dict[str, Any]) -> None:
    said = {"priorityClassName": "high"} | ({"gang": "Volcano", "queue": "team"} if kind is VOLCANO else {})
    made = planned(job("spec", "scheduling", value=said), kind)
    *others, group = support(made, "abc", b"zip")
    assert group.manifest == {
        "apiVersion": kind.value[0],
        "kind": kind.value[1],
        "metadata": {**others[0].manifest["metadata"], "name": f"tj-digits-{made.digest[:8]}"},
        "spec": spec,
    }
    assert group.unique
    assert [each.manifest["kind"] for each in others] == [
        "Service", "Secret", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget",
    ]  # fmt: skip


def differences(old: Any, new: Any, path: str = "") -> dict[str, Any]:
    """What `new` has that `old` has not, by path."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return {} if old == new else {path: new}
    found: dict[str, Any] = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        found |= differences(old[key], value, f"{path}/{key}") if key in old else {f"{path}/{key}": value}
    return found


LINKS = {
    V1BETA1: lambda name: {"/spec/schedulingGroup": {"podGroupName": name}},
    V1ALPHA2: lambda name: {"/spec/schedulingGroup": {"podGroupName": name}},
    V1ALPHA1: lambda name: {"/spec/workloadRef": {"name": name, "podGroup": "worker"}},
    VOLCANO: lambda name: {
        "/metadata/annotations/scheduling.k8s.io/group-name": name,
        "/spec/schedulerName": "volcano",
    },
    COSCHEDULING: lambda name: {"/metadata/labels/scheduling.x-k8s.io/pod-group": name},
}


@pytest.mark.parametrize("kind", LINKS, ids=[kind.name for kind in LINKS])
def test_a_pod_differs_by_its_link_alone(kind: GroupKind) -> None:
    alone, member = planned(), planned(group=kind)
    pods = [manifests.pod(each, each.pods[0]) for each in (alone, member)]
    expected = LINKS[kind](f"tj-digits-{member.digest[:8]}")
    assert differences(*pods) == {"/metadata/annotations/trireme.dev/plan": member.digest, **expected}


def test_pods_of_two_clusters_or_of_two_launches_are_of_two_plans() -> None:
    made = [planned(), planned(group=VOLCANO), planned(group=COSCHEDULING), planned(suspensions=1)]
    assert len({each.digest for each in made}) == 4


def test_the_wish_for_a_gang_that_is_not_there_changes_no_plan() -> None:
    assert planned(job("spec", "scheduling", value={"gang": "None"})).digest == planned().digest
