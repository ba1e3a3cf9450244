"""Jobs of which only some pods have nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import ceil
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scenes import NOW, Scene, after, said
from trireme.lifecycle.decision import Decision
from trireme.lifecycle.observe import Refusal
from trireme.lifecycle.pod import Pod
from trireme.lifecycle.policies import placement
from trireme.plan.planner import plan
from trireme.spec.status import JobStatus

NO_ROOM = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


def halves(scene: Scene) -> tuple[Pod, Pod]:
    return scene.running(0, placed_at=NOW.timestamp()), scene.pod(1, unschedulable=NO_ROOM)


def given_back(scene: Scene) -> tuple[Decision, float]:
    """The decision to give back, and when it was taken."""
    pods = halves(scene)
    first = scene.step(JobStatus(), *pods)
    assert first.look_again_seconds is not None
    at = ceil(first.look_again_seconds)
    return scene.step(first.status, *pods, at=at), at


def test_after_a_while_without_progress_the_pods_are_given_back() -> None:
    scene = Scene()
    decision, at = given_back(scene)
    assert 300 <= at < 450
    assert (decision.ahead, decision.delete) == (True, ())
    status = decision.status
    assert status.message.startswith(
        "Pending: 1/2 pods had nodes and the others found none: given back, next try after "
    )
    assert said(status) == {"Scheduled": "False/PodsGivenBack", "Running": "False/PodsGivenBack"}
    going = scene.step(status, *halves(scene), at=at + 1)
    assert {deletion.name for deletion in going.delete} == {"digits-worker-0", "digits-worker-1"}
    assert going.status.message == status.message
    pause = placement.pause(status, scene.job.uid, after(at))
    waiting = scene.step(status, at=at + 10)
    assert waiting.create == ()
    assert waiting.look_again_seconds == pytest.approx(pause - 10)
    again = scene.step(status, at=at + pause)
    assert len(again.create) == 2
    assert (said(again.status)["Scheduled"], again.status.attempt) == ("False/PodsPending", 0)


def test_every_pod_that_finds_a_node_is_progress() -> None:
    scene = Scene(3)
    first, second = halves(scene)
    status = scene.step(JobStatus(), first, second, scene.pod(2, unschedulable=NO_ROOM)).status
    pods = first, scene.running(1, placed_at=after(200).timestamp()), scene.pod(2, unschedulable=NO_ROOM)
    assert not scene.step(status, *pods, at=460).ahead
    assert scene.step(status, *pods, at=660).ahead


@pytest.mark.parametrize(
    ("spec", "pods"),
    [
        pytest.param({}, lambda s: [s.pod(i, unschedulable=NO_ROOM) for i in range(2)], id="no pod has a node"),
        pytest.param({}, lambda s: [halves(s)[0], s.pod(1, node="n1")], id="every pod has a node"),
        pytest.param({"scheduling": {"queue": "research"}}, halves, id="a queue admits all or none"),
    ],
)
def test_nothing_is_given_back_where_nobody_would_gain(spec: dict[str, object], pods: object) -> None:
    scene = Scene(**spec)
    seen = pods(scene)  # type: ignore[operator]
    status = scene.step(JobStatus(), *seen).status
    assert not scene.step(status, *seen, at=10_000).ahead


def test_a_restart_that_waits_for_a_node_gives_back_too() -> None:
    scene = Scene(deadlines={"pendingSeconds": 60})
    status = scene.step(scene.started(), scene.running(0), at=1000).status
    pods = halves(scene)[0], replace(halves(scene)[1], attempt=1)
    status = scene.step(status, *pods, at=1001).status
    assert not scene.step(status, *pods, at=1060).ahead
    decision = scene.step(status, *pods, at=1092)
    assert (decision.ahead, decision.status.phase, decision.status.restarts) == (True, "Restarting", 0)
    going = scene.step(decision.status, *pods, at=1093)
    assert {deletion.name for deletion in going.delete} == {"digits-worker-0", "digits-worker-1"}


def test_a_parameter_server_goes_on_without_the_missing_member() -> None:
    scene = Scene(strategy="ParameterServer", server={"colocated": True})
    status = scene.step(scene.started(), scene.running(0), at=1000).status
    pods = halves(scene)[0], replace(halves(scene)[1], attempt=1)
    status = scene.step(status, *pods, at=1001).status
    assert not scene.step(status, *pods, at=10_000).ahead


QUOTA = Refusal('pods "digits-worker-1" is forbidden: exceeded quota: team')


@pytest.mark.parametrize(
    ("spec", "there"),
    [
        pytest.param({}, lambda s: s.running(0), id="one runs"),
        pytest.param({}, lambda s: s.pod(0, unschedulable=NO_ROOM), id="one has no node and counts all the same"),
        pytest.param({"scheduling": {"queue": "research"}}, lambda s: s.pod(0, gated=True), id="one waits in a queue"),
    ],
)
def test_what_a_quota_refuses_gives_the_others_back_too(spec: dict[str, object], there: Callable[[Scene], Pod]) -> None:
    scene = Scene(deadlines={"pendingSeconds": 60}, **spec)
    first = scene.step(JobStatus(), there(scene), refused=QUOTA)
    assert first.look_again_seconds is not None
    at = ceil(first.look_again_seconds)
    assert 60 <= at <= 90
    decision = scene.step(first.status, there(scene), refused=QUOTA, at=at)
    pause = placement.pause(decision.status, scene.job.uid, after(at))
    assert decision.status.message == (
        f"Pending: 1/2 pods were there and the API server refused the others: given back, next try after {pause:.0f}s"
        f": {QUOTA.words}"
    )
    assert decision.ahead
    going = scene.step(decision.status, there(scene), at=at + 1)
    assert ([each.name for each in going.delete], going.create) == (["digits-worker-0"], ())
    assert len(scene.step(decision.status, at=at + ceil(pause)).create) == 2


@pytest.mark.parametrize(("placed", "gives_back"), [(2, False), (1, True)], ids=["minimum placed", "too few placed"])
def test_an_elastic_job_under_a_quota_keeps_what_it_can_begin_with(placed: int, gives_back: bool) -> None:
    scene = Scene(4, elastic={"minReplicas": 2, "maxReplicas": 4})
    pods = [scene.pod(index, node="n1" if index < placed else "") for index in range(3)]
    status = scene.step(JobStatus(), *pods, refused=QUOTA).status
    assert scene.step(status, *pods, refused=QUOTA, at=500).ahead is gives_back


def test_each_pod_that_a_quota_lets_through_is_progress() -> None:
    scene = Scene(3)
    status = scene.step(JobStatus(), scene.running(0), refused=QUOTA).status
    later = scene.running(0), scene.pod(1, created_at=after(200).timestamp())
    assert not scene.step(status, *later, refused=QUOTA, at=460).ahead
    assert scene.step(status, *later, refused=QUOTA, at=660).ahead


@pytest.mark.parametrize("pods", [[], [0, 1]], ids=["nothing is held", "nothing is missing"])
def test_a_refusal_alone_gives_nothing_back(pods: list[int]) -> None:
    scene = Scene()
    there = [scene.pod(index) for index in pods]
    status = scene.step(JobStatus(), *there, refused=QUOTA).status
    assert not scene.step(status, *there, refused=QUOTA, at=10_000).ahead


def tries(scene: Scene, hours: float) -> list[float]:
    """When a job of which one pod never fits its quota makes the other, in seconds."""
    status, there, made, at = JobStatus(), (), [], 0.0
    while at < hours * 3600:
        decision = scene.step(status, *there, at=at, refused=QUOTA if there else None)
        status = decision.status
        if decision.delete:
            there = ()
        elif decision.create and not there:
            made.append(at)
            there = (scene.running(0, created_at=after(at).timestamp(), placed_at=after(at).timestamp()),)
        else:
            at = ceil(at + (decision.look_again_seconds or 0.0))
    return made


def test_what_never_fits_is_tried_ever_less_often() -> None:
    made = tries(Scene(), hours=24)
    pauses = [later - earlier for earlier, later in pairwise(made)]
    assert pauses[0] < 300 * 1.5 + 90 * 2 + 10
    assert len(made) < 75
    assert min(pauses[10:]) >= 300 + 900


class Tenant:
    """A job of four, and the controller's and the kubelets' parts in its life: a refused pod is tried once a minute,
    one that is deleted goes after half of one."""

    def __init__(self, uid: str) -> None:
        self.scene = Scene(4)
        self.scene.job = self.scene.job.model_copy(update={"uid": uid})
        self.scene.plan = plan(self.scene.job, attempt=0, agent="abc")
        self.uid = uid
        self.status = JobStatus()
        self.pods: dict[int, Pod] = {}
        self._refused: Refusal | None = None
        self._next_try = 0.0

    def look(self, at: float, quota: int) -> None:
        """`quota`: pods that it may still make."""
        self.pods = {
            index: pod for index, pod in self.pods.items() if not pod.deleting or pod.gone_by > after(at).timestamp()
        }
        decision = self.scene.step(self.status, *self.pods.values(), at=at, refused=self._refused)
        self.status = decision.status
        for deletion in decision.delete:
            index = int(deletion.name[-1])
            self.pods[index] = replace(self.pods[index], deleting=True, gone_by=after(at + 30).timestamp())
        self._refused = self._refused if decision.create else None
        if decision.create and at >= self._next_try:
            for planned in decision.create[:quota]:
                now = after(at).timestamp()
                self.pods[planned.index] = self.scene.running(
                    planned.index, owner_uid=self.uid, created_at=now, placed_at=now
                )
            self._refused = QUOTA if quota < len(decision.create) else None
            self._next_try = at + 60


@settings(max_examples=8)
@given(st.uuids(), st.uuids())
def test_of_two_that_starve_each_other_by_a_quota_one_runs(one: UUID, other: UUID) -> None:
    """A quota of six pods, of which each has three."""
    tenants = [Tenant(str(one)), Tenant(str(other))]
    for tenant in tenants:
        tenant.look(0, 3)
    for at in range(10, 900, 10):
        for tenant in tenants:
            tenant.look(at, 6 - sum(len(each.pods) for each in tenants))
    assert sorted(tenant.status.phase or "" for tenant in tenants) == ["Pending", "Running"]


def test_a_change_of_the_spec_ends_the_pause() -> None:
    scene = Scene()
    decision, at = given_back(scene)
    assert scene.step(decision.status, at=at + 1).create == ()
    scene.job = scene.job.model_copy(update={"generation": 2})
    assert len(scene.step(decision.status, at=at + 1).create) == 2


@given(st.uuids(), st.integers(0, 10**6))
def test_pauses_are_spread_and_always_the_same(uid: object, seconds: int) -> None:
    since = after(seconds)
    pause = placement.pause(JobStatus(), str(uid), since)
    assert 90 <= pause < 180
    assert pause == placement.pause(JobStatus(), str(uid), since)
