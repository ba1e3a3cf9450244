"""An elastic job's life: it runs with enough, grows and shrinks, and counts what it loses without stopping for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.scenes import NOW, Scene, said
from trireme.contract import exits, wire
from trireme.lifecycle.decision import PodDeletion
from trireme.lifecycle.pod import Pod, PodPhase, Terminated
from trireme.plan.plan import PodPlan
from trireme.spec.status import JobStatus

NO_ROOM = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def scene(replicas: int = 3, **spec: Any) -> Scene:
    return Scene(replicas, elastic={"minReplicas": 2, "maxReplicas": 8}, **spec)


def running(scene: Scene, *indices: int) -> tuple[Pod, ...]:
    return tuple(map(scene.running, indices))


def broken(scene: Scene, index: int) -> Pod:
    failure = wire.Failure("worker", index, 137, "Signal", "ended by SIGKILL", NOW.timestamp(), index, "SIGKILL")
    word = wire.termination_message(wire.Termination(exits.KILLED, failure=failure))
    return scene.failed(index, Terminated(exits.KILLED, "Error", message=word))


def names(pods: tuple[PodPlan, ...]) -> list[str]:
    return [pod.name for pod in pods]


def test_it_starts_when_the_minimum_runs() -> None:
    job = scene()
    waits = job.step(JobStatus(), *running(job, 0), job.pod(1), job.pod(2, unschedulable=NO_ROOM))
    assert (waits.status.phase, waits.status.start_time) == ("Pending", None)
    status = job.step(waits.status, *running(job, 0, 1), job.pod(2, unschedulable=NO_ROOM)).status
    assert status.message == "Running: 2/3 pods (elastic 2-8); 1 unschedulable: Insufficient nvidia.com/gpu"
    assert (status.phase, said(status)) == (
        "Running", {"Scheduled": "True/EnoughPodsPlaced", "Running": "True/EnoughPodsRun"},
    )  # fmt: skip


def test_all_pods_are_said_to_be_all() -> None:
    job = scene()
    status = job.step(JobStatus(), *running(job, 0, 1, 2)).status
    assert status.message == "Running: 3/3 pods (elastic 2-8)"
    assert said(status) == {"Scheduled": "True/AllPodsPlaced", "Running": "True/AllPodsRun"}


def test_after_an_upgrade_it_grows_at_its_next_restart() -> None:
    status, larger = scene().started(), scene(4)
    old = [larger.running(index, agent="older") for index in range(3)]
    waits = larger.step(status, *old)
    assert (waits.create, waits.delete) == ((), ())
    assert waits.status.message.endswith("; it grows at its next restart, since the operator was upgraded")
    counted = larger.step(waits.status, *old[:2], broken(larger, 2)).status
    again = larger.step(counted, *old[:2], broken(larger, 2), at=1)
    assert [each.name for each in again.delete] == ["digits-worker-0", "digits-worker-1", "digits-worker-2"]


def test_it_grows_while_it_runs() -> None:
    status = scene().started()
    larger = scene(5)
    decision = larger.step(status, *running(larger, 0, 1, 2))
    assert names(decision.create) == ["digits-worker-3", "digits-worker-4"]
    assert (decision.delete, decision.status.phase, decision.status.attempt) == ((), "Running", 0)


def test_it_shrinks_from_the_top_and_counts_nothing() -> None:
    status = scene(4).started()
    smaller = scene(2)
    decision = smaller.step(status, *running(smaller, 0, 1, 2, 3))
    assert decision.delete == tuple(PodDeletion(f"digits-worker-{index}", f"pod-{index}") for index in (3, 2))
    going = smaller.running(3, deleting=True), broken(smaller, 2)
    after = smaller.step(decision.status, *running(smaller, 0, 1), *going).status
    assert (after.message, after.attempt) == ("Running: 2/2 pods (elastic 2-8)", 0)


@pytest.mark.parametrize(
    ("cleanup", "gone"),
    [
        pytest.param("Running", ["digits-worker-1", "digits-worker-2"], id="Running"),
        pytest.param("All", ["digits-worker-0", "digits-worker-1", "digits-worker-2", "digits-worker-3"], id="All"),
    ],
)
def test_pods_that_were_to_be_scaled_away_do_not_outlive_the_verdict(cleanup: str, gone: list[str]) -> None:
    smaller = scene(2, restart={"limit": 0}, cleanup={"pods": cleanup})
    pods = broken(smaller, 0), *running(smaller, 1, 2), smaller.succeeded(3)
    over = smaller.step(scene(4).started(), *pods)
    assert over.status.phase == "Failed"
    assert sorted(pod.name for pod in over.delete) == gone


def test_of_pods_that_stay_those_to_be_scaled_away_are_ended_too() -> None:
    smaller = scene(2, restart={"limit": 0}, cleanup={"pods": "None"})
    pods = broken(smaller, 0), *running(smaller, 1, 2)
    over = smaller.step(scene(4).started(), *pods)
    late = smaller.step(over.status, *pods, at=10)
    assert (late.delete, sorted(pod.name for pod in late.expire)) == ((), ["digits-worker-1", "digits-worker-2"])


def test_a_pod_that_was_scaled_away_and_is_wanted_again_is_no_disruption() -> None:
    job, smaller = scene(4), scene(2)
    shrunk = smaller.step(job.started(), *running(smaller, 0, 1, 2, 3)).status
    assert shrunk.shrunk_to == 2
    going = job.running(2, deleting=True), replace(broken(job, 3), deleting=True)
    again = job.step(shrunk, *running(job, 0, 1), *going)
    assert (again.status.disruptions, again.status.restarts, again.status.attempt, again.create) == (0, 0, 0, ())
    back = job.step(again.status, *running(job, 0, 1))
    assert (names(back.create), back.status.shrunk_to) == (["digits-worker-2", "digits-worker-3"], None)
    deleted = job.step(back.status, *running(job, 0, 1, 2), job.running(3, deleting=True)).status
    assert (deleted.disruptions, deleted.attempt) == (1, 1)


def test_a_pod_lost_above_the_minimum_is_counted_and_replaced_while_the_others_train() -> None:
    job = scene()
    pods = *running(job, 0, 1), broken(job, 2)
    counted = job.step(job.started(), *pods)
    line = "Running: 2/3 pods (elastic 2-8); Restarting 1/3: worker-2, rank 2: ended by SIGKILL"
    assert (counted.ahead, counted.status.phase, counted.status.message) == (True, "Running", line)
    assert (counted.status.restarts, said(counted.status)["Running"]) == (1, "True/EnoughPodsRun")
    gone = job.step(counted.status, *pods)
    assert (gone.delete, gone.status.message) == ((PodDeletion("digits-worker-2", "pod-2"),), line)
    again = job.step(gone.status, *running(job, 0, 1))
    assert names(again.create) == ["digits-worker-2"]
    assert (again.status.restarts, said(again.status)["Restarting"]) == (1, "False/AllPodsRun")


def test_a_pod_that_is_taken_away_is_one_disruption() -> None:
    job = scene()
    pods = *running(job, 0, 1), job.running(2, deleting=True, disruption="EvictionByEvictionAPI")
    counted = job.step(job.started(), *pods).status
    waiting = job.step(counted, *pods)
    back = job.step(waiting.status, *running(job, 0, 1)).status
    later = job.step(back, *running(job, 0, 1, 2)).status
    assert [each.disruptions for each in (counted, waiting.status, back, later)] == [1, 1, 1, 1]
    assert (later.restarts, later.phase) == (0, "Running")


def test_below_the_minimum_it_restarts_and_waits() -> None:
    job = scene(2)
    pods = *running(job, 0), broken(job, 1)
    counted = job.step(job.started(), *pods).status
    assert (counted.phase, counted.message) == ("Restarting", "Restarting 1/3: worker-1, rank 1: ended by SIGKILL")
    waits = job.step(counted, *running(job, 0), job.pod(1, unschedulable=NO_ROOM)).status
    assert waits.phase == "Restarting"
    assert job.step(waits, *running(job, 0, 1)).status.phase == "Running"


def test_a_pending_deadline_does_not_end_a_job_that_trains() -> None:
    job = scene(restart={"limit": 3, "backoffSeconds": 300}, deadlines={"pendingSeconds": 5})
    pods = *running(job, 0, 1), broken(job, 2)
    counted = job.step(job.started(), *pods).status
    assert job.step(counted, *pods, at=60).status.phase == "Running"


def test_pods_that_wait_for_room_are_not_given_back() -> None:
    job = scene()
    status = job.step(JobStatus(), *running(job, 0), job.pod(1), job.pod(2, unschedulable=NO_ROOM)).status
    placed = job.pod(1, node="n1", placed_at=NOW.timestamp())
    decision = job.step(status, *running(job, 0), placed, job.pod(2, unschedulable=NO_ROOM), at=10_000)
    assert decision.status.phase == "Pending"
    assert not decision.ahead


@pytest.mark.parametrize(
    ("others", "at", "phase"),
    [
        pytest.param(lambda job: [job.succeeded(1), job.pod(2, unschedulable=NO_ROOM)], 0, "Succeeded", id="all ran"),
        pytest.param(lambda job: [job.succeeded(1)], 0, "Succeeded", id="one is not there"),
        pytest.param(lambda job: [job.succeeded(1), job.running(2)], 0, "Running", id="one is about to end"),
        pytest.param(lambda job: [job.succeeded(1), job.running(2)], 11, "Succeeded", id="one came too late"),
    ],
)
def test_it_has_succeeded_when_worker_0_has_and_nobody_is_at_work(others: Any, at: float, phase: str) -> None:
    job = scene()
    decision = job.step(job.started(), job.succeeded(0), *others(job), at=at)
    assert (decision.status.phase, decision.create) == (phase, ())


def test_it_has_not_succeeded_before_worker_0_has() -> None:
    job = scene()
    assert job.step(job.started(), job.running(0), job.succeeded(1), job.succeeded(2)).status.phase == "Running"


def test_before_the_start_it_may_shrink_too() -> None:
    larger, smaller = scene(4), scene(2)
    status = larger.step(JobStatus(), *(larger.pod(index, phase=PodPhase.PENDING) for index in range(4))).status
    decision = smaller.step(status, *(smaller.pod(index) for index in range(4)))
    assert [pod.name for pod in decision.delete] == ["digits-worker-3", "digits-worker-2"]
