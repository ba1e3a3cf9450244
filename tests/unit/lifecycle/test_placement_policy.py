"""Jobs of which only some pods have nodes."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scenes import NOW, Scene, after, said
from trireme.lifecycle.decision import Decision
from trireme.lifecycle.pod import Pod
from trireme.lifecycle.policies import placement
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
    pause = placement.pause(scene.job.uid, after(at))
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


@given(st.uuids(), st.integers(0, 10**6))
def test_pauses_are_spread_and_always_the_same(uid: object, seconds: int) -> None:
    since = after(seconds)
    pause = placement.pause(str(uid), since)
    assert 30 <= pause < 120
    assert pause == placement.pause(str(uid), since)
