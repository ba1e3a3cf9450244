"""Deadlines, the time that a finished job is kept, and pods that never say that they have ended."""

from __future__ import annotations

import pytest
from support.scenes import NOW, Scene, after, said
from trireme.lifecycle.decision import PodDeletion
from trireme.lifecycle.observe import NodeState
from trireme.lifecycle.pod import Terminated
from trireme.lifecycle.policies.nodes import overdue
from trireme.spec.status import JobStatus


def test_the_active_deadline_fails_the_job_and_its_pods_go() -> None:
    scene = Scene(deadlines={"activeSeconds": 100})
    pods = scene.running(0), scene.running(1)
    running = scene.step(scene.started(), *pods, at=60)
    assert (running.status.phase, running.look_again_seconds) == ("Running", 40.0)
    late = scene.step(running.status, *pods, at=100)
    assert late.status.message == "Failed: it has run for 100s (deadlines.activeSeconds)"
    assert (said(late.status)["Failed"], len(late.delete)) == ("True/DeadlineExceeded", 2)


def test_restarts_are_part_of_the_active_time() -> None:
    scene = Scene(deadlines={"activeSeconds": 100})
    pods = scene.running(0), scene.failed(1, Terminated(1))
    status = scene.step(scene.started(), *pods, at=50).status
    assert scene.step(status, scene.running(0), at=99).status.phase == "Restarting"
    assert scene.step(status, scene.running(0), at=100).status.phase == "Failed"


def test_the_active_deadline_stands_still_while_the_job_is_suspended() -> None:
    scene = Scene(deadlines={"activeSeconds": 100})
    suspended = Scene(deadlines={"activeSeconds": 100}, suspend=True)
    status = suspended.step(scene.started(), scene.running(0), scene.running(1), at=60).status
    assert status.active_seconds == 60
    status = suspended.step(status, at=1000).status
    resumed = scene.step(status, at=2000).status
    digest = {"plan": plan_digest(scene, resumed)}
    pods = scene.running(0, **digest), scene.running(1, **digest)
    again = scene.step(resumed, *pods, at=2010)
    assert (again.status.phase, again.look_again_seconds) == ("Running", 40.0)
    late = scene.step(again.status, *pods, at=2050).status
    assert late.message == "Failed: it has run for 100s (deadlines.activeSeconds)"


def plan_digest(scene: Scene, status: JobStatus) -> str:
    from trireme.plan.planner import plan

    return plan(scene.job, attempt=status.attempt, agent="abc", suspensions=status.suspensions).digest


def test_pods_with_nodes_that_do_not_start_fail_the_job() -> None:
    scene = Scene(deadlines={"pendingSeconds": 60})
    pods = scene.running(0), scene.pod(1, node="n1", waiting_reason="ImagePullBackOff", waiting_message="no such image")
    first = scene.step(JobStatus(), *pods)
    assert (first.status.phase, first.look_again_seconds) == ("Pending", 60.0)
    late = scene.step(first.status, *pods, at=60).status
    assert late.message == ("Failed: worker-1: ImagePullBackOff: no such image after 60s (deadlines.pendingSeconds)")
    assert said(late)["Failed"] == "True/DeadlineExceeded"


def test_a_job_without_nodes_waits_for_ever() -> None:
    scene = Scene(deadlines={"pendingSeconds": 60})
    pods = [scene.pod(index, unschedulable="no room") for index in range(2)]
    status = scene.step(JobStatus(), *pods).status
    assert scene.step(status, *pods, at=86_400).status.phase == "Pending"


@pytest.mark.parametrize(
    ("ttl", "at", "removed", "look_again"),
    [
        pytest.param(None, 10**6, False, None, id="kept"),
        pytest.param(60, 9, False, 51.0, id="not-yet"),
        pytest.param(60, 60, True, 0.0, id="over"),
        pytest.param(0, 0, True, 0.0, id="at-once"),
    ],
)
def test_a_finished_job_is_kept_for_so_long(ttl: int | None, at: float, removed: bool, look_again: float) -> None:
    scene = Scene(cleanup={} if ttl is None else {"ttlSecondsAfterFinished": ttl})
    pods = scene.succeeded(0), scene.succeeded(1)
    end = scene.step(scene.started(), *pods)
    assert end.look_again_seconds == ttl
    decision = scene.step(end.status, *pods, at=at)
    assert (decision.remove_job, decision.look_again_seconds) == (removed, look_again)


def test_a_pod_is_overdue_some_seconds_after_its_grace_period() -> None:
    scene = Scene()
    going = scene.running(1, deleting=True, gone_by=after(30).timestamp())
    pods = (scene.running(0), going)
    assert [overdue(pods, after(at)) for at in (0, 34, 35)] == [(), (), (going,)]
    status = scene.step(scene.started(), *pods).status
    assert scene.step(status, *pods, at=10).look_again_seconds == 25.0


@pytest.mark.parametrize(
    ("state", "force", "forced"),
    [
        pytest.param(NodeState.GONE, None, True, id="gone"),
        pytest.param(NodeState.NOT_READY, None, False, id="not-ready"),
        pytest.param(NodeState.NOT_READY, 60, True, id="not-ready-and-asked-for"),
        pytest.param(NodeState.NOT_READY, 61, False, id="not-ready-and-not-long-enough"),
        pytest.param(NodeState.READY, 0, False, id="ready"),
        pytest.param(None, 0, False, id="unknown"),
    ],
)
@pytest.mark.parametrize("suspend", [False, True])
def test_only_a_pod_of_a_lost_node_is_deleted_by_force(
    state: NodeState | None, force: int | None, forced: bool, suspend: bool
) -> None:
    scene = Scene(restart={} if force is None else {"forceDeleteSeconds": force}, suspend=suspend)
    going = scene.running(1, deleting=True, gone_by=NOW.timestamp(), attempt=0)
    status = scene.step(scene.started(), scene.running(0), going).status
    nodes = {"n1": state} if state is not None else {}
    decision = scene.step(status, scene.running(0), going, at=60, nodes=nodes)
    assert (PodDeletion("digits-worker-1", "pod-1", force=True) in decision.delete) is forced
