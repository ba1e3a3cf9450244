"""Suspension: written before pods go, deaf to what pods do on their way out, and begun anew by a resumption."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scenes import NOW, Scene, after, job
from trireme.lifecycle.decide import decide
from trireme.lifecycle.decision import Decision, PodDeletion
from trireme.lifecycle.observe import observe
from trireme.lifecycle.pod import Pod, Terminated
from trireme.plan.planner import plan
from trireme.spec.status import JobStatus

EMPTY = JobStatus()
TERMINATED = Terminated(143, finished_at=NOW.timestamp())


def step(status: JobStatus, *pods: Pod, suspend: bool = True, at: float = 0) -> Decision:
    """The plan that belongs to the status, as reconcile makes it."""
    planned = plan(job(suspend=suspend, restart={"limit": 0}), attempt=0, agent="abc", suspensions=status.suspensions)
    return decide(planned, observe(planned, pods), status, after(at))


def said(status: JobStatus) -> dict[str, str]:
    return {c.type: f"{c.status}/{c.reason}" for c in status.conditions}


def running() -> JobStatus:
    scene = Scene()
    return step(EMPTY, scene.running(0), scene.running(1), suspend=False).status


def suspended() -> JobStatus:
    scene = Scene()
    return step(running(), scene.running(0), scene.running(1)).status


def test_a_running_job_loses_its_pods_and_its_start() -> None:
    scene = Scene()
    decision = step(running(), scene.running(0), scene.running(1))
    assert decision.delete == (PodDeletion("digits-worker-0", "pod-0"), PodDeletion("digits-worker-1", "pod-1"))
    status = decision.status
    assert (status.phase, status.message) == ("Suspended", "Suspended: 2 pods still to go")
    assert (status.start_time, status.suspensions, status.attempt) == (None, 1, 0)
    assert said(status) == {
        "Scheduled": "False/Suspended",
        "Running": "False/Suspended",
        "Suspended": "True/JobSuspended",
    }


def test_a_job_that_is_suspended_from_the_first_gets_no_pods_and_says_so() -> None:
    decision = step(EMPTY)
    assert (decision.create, decision.delete) == ((), ())
    assert decision.status.message == "Suspended before all pods ran: set spec.suspend to false to run it"
    assert said(decision.status)["Suspended"] == "True/NotStarted"
    assert step(decision.status, at=60) == decision


def test_once_they_are_gone_it_says_what_to_do() -> None:
    status = step(suspended(), at=5).status
    assert (status.message, status.workers_ready) == ("Suspended: set spec.suspend to false to run it", "0/2")
    assert status.suspensions == 1


@pytest.mark.parametrize("code", [0, 143, 1])
@pytest.mark.parametrize("deleting", [True, False], ids=["going", "not yet told to go"])
def test_how_pods_end_while_suspended_is_nothing_to_the_job(code: int, deleting: bool) -> None:
    scene = Scene()
    ended = [(scene.failed(i, Terminated(code)) if code else scene.succeeded(i)) for i in range(2)]
    pods = [replace(pod, deleting=deleting) for pod in ended]
    decision = step(suspended(), *pods)
    assert decision.status.phase == "Suspended"
    assert len(decision.delete) == (0 if deleting else 2)
    resumed = step(decision.status, *pods, suspend=False)
    assert (resumed.status.phase, resumed.status.failure, resumed.create) == ("Pending", None, ())
    assert len(resumed.delete) == (0 if deleting else 2)


@pytest.mark.parametrize("ending", ["Succeeded", "Failed"])
def test_what_happened_before_the_suspension_was_written_counts(ending: str) -> None:
    scene = Scene()
    pods = [scene.succeeded(i) if ending == "Succeeded" else scene.failed(i, Terminated(3)) for i in range(2)]
    status = step(running(), *pods).status
    assert (status.phase, status.suspensions) == (ending, 0)
    assert step(status, *pods, at=9).status == status


def test_a_resumed_job_makes_its_pods_anew_and_may_be_suspended_again() -> None:
    resumed = step(suspended(), suspend=False, at=10)
    assert [pod.name for pod in resumed.create] == ["digits-worker-0", "digits-worker-1"]
    assert (resumed.status.phase, resumed.status.message) == ("Pending", "Pending: 0/2 pods run")
    assert said(resumed.status) == {
        "Scheduled": "False/PodsPending",
        "Running": "False/PodsPending",
        "Suspended": "False/JobResumed",
    }
    again = step(resumed.status, at=20).status
    assert (again.phase, again.suspensions, said(again)["Suspended"]) == ("Suspended", 2, "True/NotStarted")


def test_a_survivor_of_the_suspension_is_replaced_because_its_peers_are_gone() -> None:
    scene = Scene()
    decision = step(suspended(), scene.running(0), scene.running(1), suspend=False)
    assert [deletion.name for deletion in decision.delete] == ["digits-worker-0", "digits-worker-1"]
    assert decision.status.phase == "Pending"


def test_a_finished_job_is_not_suspended() -> None:
    scene = Scene()
    done = step(running(), scene.succeeded(0), scene.succeeded(1), suspend=False).status
    assert step(done, scene.succeeded(0), scene.succeeded(1)) == Decision(done)
