"""Restarts as a life: what is counted when, which pods go, what is said, and where it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scenes import NOW, Scene, after, said
from trireme.contract import exits, wire
from trireme.lifecycle.decision import Decision, PodDeletion
from trireme.lifecycle.pod import Pod, Terminated
from trireme.spec.status import JobStatus

KILLED = wire.Failure("worker", 1, 137, "Signal", "ended by SIGKILL", NOW.timestamp(), rank=1, signal="SIGKILL")
LINE = "worker-1, rank 1: ended by SIGKILL"


def broken(scene: Scene, attempt: int = 0, failure: wire.Failure = KILLED) -> Pod:
    """Worker 1, whose rank failed."""
    word = wire.termination_message(wire.Termination(failure.exit_code, failure=failure))
    return scene.failed(
        1, Terminated(failure.exit_code, "Error", message=word), attempt=attempt, uid=f"pod-1.{attempt}"
    )


def second(scene: Scene, attempt: int) -> Pod:
    """Worker 1 of a later attempt, running."""
    return scene.running(1, attempt=attempt, uid=f"pod-1.{attempt}")


def counts(status: JobStatus) -> tuple[int, int, int, int]:
    return status.attempt, status.restarts, status.restarts_spent, status.disruptions


def fall(scene: Scene, status: JobStatus, at: float) -> JobStatus:
    """One restart from the failure until all pods run again."""
    attempt = status.attempt
    status = scene.step(status, scene.running(0), broken(scene, attempt), at=at).status
    return scene.step(status, scene.running(0), second(scene, attempt + 1), at=at + 1).status


def test_a_failure_is_counted_before_its_pod_is_touched() -> None:
    scene = Scene()
    decision = scene.step(scene.started(), scene.running(0), broken(scene), at=5)
    assert (decision.ahead, decision.delete, decision.create) == (True, (), ())
    status = decision.status
    assert (status.phase, status.message, counts(status)) == ("Restarting", f"Restarting 1/3: {LINE}", (1, 1, 1, 0))
    assert said(status) == {
        "Scheduled": "True/AllPodsPlaced", "Running": "False/Restarting", "Restarting": "True/RankFailed",
    }  # fmt: skip
    assert status.failure is not None
    assert (status.failure.pod, status.failure.signal) == ("digits-worker-1", "SIGKILL")


def test_then_only_the_failed_pod_is_replaced() -> None:
    scene = Scene()
    pods = scene.running(0), broken(scene)
    counted = scene.step(scene.started(), *pods).status
    gone = scene.step(counted, *pods, at=1)
    assert (gone.delete, gone.create) == ((PodDeletion("digits-worker-1", "pod-1.0"),), ())
    assert gone.status.message == f"Restarting 1/3: {LINE}; waiting for worker-1"
    made = scene.step(gone.status, scene.running(0), at=2)
    assert (made.delete, [pod.name for pod in made.create]) == ((), ["digits-worker-1"])
    assert made.poll_coordinator == "10.0.0.0"
    back = scene.step(made.status, scene.running(0), second(scene, 1), at=4)
    assert (back.status.phase, back.status.message, counts(back.status)) == (
        "Running",
        "Running: 2/2 pods",
        (1, 1, 1, 0),
    )
    assert said(back.status)["Restarting"] == "False/AllPodsRun"
    assert back.status.start_time == NOW


def test_scope_all_replaces_every_pod() -> None:
    scene = Scene(restart={"scope": "All"})
    pods = (scene.failed(0, Terminated(exits.PEER_FAILED)), broken(scene))
    counted = scene.step(scene.started(), *pods).status
    assert counted.message == f"Restarting 1/3: {LINE}"
    assert [each.uid for each in scene.step(counted, scene.running(0), pods[1]).delete] == ["pod-0", "pod-1.0"]
    again = scene.running(0, attempt=1), second(scene, 1)
    assert scene.step(counted, *again).status.phase == "Running"


def test_scope_all_waits_for_the_last_words_of_all() -> None:
    scene = Scene(restart={"scope": "All"})
    waiting = scene.step(scene.started(), scene.running(0), broken(scene))
    assert (waiting.look_again_seconds, counts(waiting.status)) == (3.0, (0, 0, 0, 0))
    assert counts(scene.step(waiting.status, scene.running(0), broken(scene), at=3).status) == (1, 1, 1, 0)


def test_what_followed_another_waits_for_it() -> None:
    scene = Scene(3)
    lost = replace(KILLED, exit_code=1, reason="Error", message="Connection closed by peer", signal="")
    first = scene.step(scene.started(), scene.running(0), broken(scene, failure=lost), scene.running(2))
    assert (first.look_again_seconds, said(first.status)["Running"]) == (3.0, "False/RankFailed")
    oom = scene.failed(2, Terminated(137, "OOMKilled"))
    second_look = scene.step(first.status, scene.running(0), broken(scene, failure=lost), oom, at=1).status
    assert second_look.failure is not None
    assert (second_look.failure.pod, counts(second_look)) == ("digits-worker-2", (1, 1, 1, 0))


def test_what_fails_with_a_failure_that_is_counted_is_counted_with_it() -> None:
    scene = Scene()
    counted = scene.step(scene.started(), scene.running(0), broken(scene)).status
    both = scene.step(counted, scene.failed(0, Terminated(1)), broken(scene), at=1)
    assert counts(both.status) == (1, 1, 1, 0)
    assert [deletion.uid for deletion in both.delete] == ["pod-0", "pod-1.0"]


def test_a_successor_that_fails_is_a_new_failure() -> None:
    scene = Scene()
    counted = scene.step(scene.started(), scene.running(0), broken(scene)).status
    again = scene.step(counted, scene.running(0), broken(scene, 1), at=9)
    assert (again.ahead, counts(again.status)) == (True, (2, 2, 2, 0))
    restarting = next(each for each in again.status.conditions if each.type == "Restarting")
    assert restarting.last_transition_time == after(9)


@pytest.mark.parametrize("deleting", [True, False], ids=["going", "gone"])
def test_while_it_restarts_a_deleted_pod_is_simply_made_again(deleting: bool) -> None:
    scene = Scene()
    counted = scene.step(scene.started(), scene.running(0), broken(scene)).status
    pods = [scene.running(0, deleting=True)] * deleting
    decision = scene.step(counted, *pods, second(scene, 1), at=1)
    assert counts(decision.status) == (1, 1, 1, 0)
    assert [pod.name for pod in decision.create] == ([] if deleting else ["digits-worker-0"])


def test_the_limit_ends_it_with_the_last_failure() -> None:
    scene = Scene(restart={"limit": 2, "backoffSeconds": 0})
    status = fall(scene, fall(scene, scene.started(), 10), 20)
    assert (status.phase, counts(status)) == ("Running", (2, 2, 2, 0))
    last = scene.step(status, scene.running(0), broken(scene, 2), at=30)
    assert (last.status.phase, last.status.message) == ("Failed", f"Failed: {LINE}; 2 restarts before")
    assert said(last.status) == {
        "Scheduled": "True/AllPodsPlaced", "Running": "False/Failed", "Restarting": "False/AllPodsRun",
        "Failed": "True/Signal",
    }  # fmt: skip
    assert last.delete == (PodDeletion("digits-worker-0", "pod-0"),)


def test_what_cannot_be_helped_fails_at_once() -> None:
    scene = Scene(restart={"permanentExitCodes": [7]})
    failure = replace(KILLED, exit_code=7, reason="Error", message="no such dataset", signal="")
    status = scene.step(scene.started(), scene.running(0), broken(scene, failure=failure)).status
    assert status.message == "Failed: worker-1, rank 1: exit code 7: no such dataset"


def test_a_job_that_ran_well_has_its_budget_back() -> None:
    scene = Scene(restart={"limit": 1, "resetAfterSeconds": 600})
    status = fall(scene, scene.started(), 10)
    early = scene.step(status, scene.running(0), broken(scene, 1), at=610)
    late = scene.step(status, scene.running(0), broken(scene, 1), at=611)
    assert early.status.phase == "Failed"
    assert (late.status.message, counts(late.status)) == (f"Restarting 1/1: {LINE}", (2, 2, 1, 0))


def test_the_second_restart_in_a_row_waits_and_the_third_twice_as_long() -> None:
    scene = Scene(restart={"backoffSeconds": 10})
    status = scene.started()
    for attempt, pause in enumerate((0, 10, 20)):
        pods = scene.running(0), broken(scene, attempt)
        status = scene.step(status, *pods, at=100 * attempt).status
        assert said(status)["Restarting"] == ("True/BackOff" if pause else "True/RankFailed")
        if pause:
            assert f"after a pause of {pause}s" in status.message
            waiting = scene.step(status, *pods, at=100 * attempt + pause - 1)
            assert (waiting.delete, waiting.look_again_seconds) == ((), 1.0)
        assert scene.step(status, *pods, at=100 * attempt + pause).delete == (
            PodDeletion("digits-worker-1", f"pod-1.{attempt}"),
        )
        status = scene.step(status, scene.running(0), second(scene, attempt + 1), at=100 * attempt + pause).status


def test_disruptions_are_told_and_not_counted() -> None:
    scene = Scene(restart={"limit": 0})
    going = scene.running(1, deleting=True, disruption="EvictionByEvictionAPI")
    first = scene.step(scene.started(), scene.running(0), going, at=100)
    assert (first.status.phase, counts(first.status)) == ("Restarting", (1, 0, 0, 1))
    assert first.status.message == (
        "Restarting after a disruption: worker-1: EvictionByEvictionAPI: the pod was evicted, as by a drain of its node"
    )
    waiting = scene.step(first.status, scene.running(0), going, at=101)
    assert (waiting.delete, waiting.create) == ((), ())
    assert waiting.status.message.endswith("; waiting for pod digits-worker-1 to go")
    assert [pod.name for pod in scene.step(first.status, scene.running(0), at=102).create] == ["digits-worker-1"]


def test_a_disruption_soon_after_another_waits_a_little() -> None:
    scene = Scene()
    status = scene.step(scene.started(), scene.running(0), at=100).status
    status = scene.step(status, scene.running(0), second(scene, 1), at=110).status
    again = scene.step(status, scene.running(0), at=130)
    assert (said(again.status)["Restarting"], counts(again.status)) == ("True/DisruptedAgain", (2, 0, 0, 2))
    assert scene.step(again.status, scene.running(0), at=135).look_again_seconds == 5.0
    assert scene.step(again.status, scene.running(0), at=140).create
    late = scene.step(status, scene.running(0), at=171)
    assert said(late.status)["Restarting"] == "True/Disrupted"


def test_success_tells_what_it_took() -> None:
    scene = Scene()
    status = fall(scene, scene.started(), 10)
    status = scene.step(status, scene.running(0), at=100).status
    status = scene.step(status, scene.running(0), second(scene, 2), at=101).status
    done = scene.step(status, scene.succeeded(0), scene.succeeded(1), at=120).status
    assert done.message == "Succeeded: 2 pods, 2 processes in 120s, 1 restart, 1 disruption"
    assert counts(done) == (2, 1, 1, 1)


def test_all_workers_done_is_success_even_while_it_restarts() -> None:
    scene = Scene()
    going = scene.running(1, deleting=True)
    status = scene.step(scene.started(), scene.running(0), going).status
    done = scene.step(status, scene.succeeded(0), replace(scene.succeeded(1), deleting=True), at=1).status
    assert (done.phase, said(done)["Restarting"]) == ("Succeeded", "False/Succeeded")


def test_an_edited_job_is_replaced_whole_at_its_next_restart() -> None:
    scene = Scene()
    pods = scene.running(0, plan="older"), replace(broken(scene), plan="older")
    counted = scene.step(scene.started(), *pods).status
    assert [deletion.uid for deletion in scene.step(counted, *pods).delete] == ["pod-0", "pod-1.0"]


def test_pods_that_were_done_are_made_again_with_the_one_that_was_not() -> None:
    scene = Scene()
    pods = scene.succeeded(0), broken(scene)
    counted = scene.step(scene.started(), *pods).status
    assert [deletion.uid for deletion in scene.step(counted, *pods).delete] == ["pod-0", "pod-1.0"]


def test_a_failure_before_the_start_is_tried_again() -> None:
    scene = Scene()
    pods = scene.failed(0, Terminated(exits.AGENT_ERROR)), scene.pod(1)
    first = scene.step(JobStatus(), *pods).status
    assert (first.phase, counts(first), first.start_time) == ("Restarting", (1, 1, 1, 0), None)
    assert [deletion.uid for deletion in scene.step(first, *pods).delete] == ["pod-0"]
    up = scene.running(0, attempt=1), scene.running(1)
    assert scene.step(first, *up, at=7).status.start_time == after(7)


def test_trouble_of_a_successor_is_told() -> None:
    scene = Scene()
    counted = scene.step(scene.started(), scene.running(0), broken(scene)).status
    pod = scene.pod(1, attempt=1, unschedulable="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    status = scene.step(counted, scene.running(0), pod, at=5).status
    assert status.message == f"Restarting 1/3: {LINE}; 1/2 unschedulable: Insufficient nvidia.com/gpu"
    assert said(status) == {
        "Scheduled": "False/Unschedulable", "Running": "False/Unschedulable", "Restarting": "True/RankFailed",
    }  # fmt: skip


def test_a_suspension_ends_the_restart_and_keeps_the_counts() -> None:
    scene, suspended = Scene(), Scene(suspend=True)
    counted = scene.step(scene.started(), scene.running(0), broken(scene), at=30).status
    paused = suspended.step(counted, scene.running(0), broken(scene), at=40).status
    assert (paused.phase, said(paused)["Restarting"]) == ("Suspended", "False/Suspended")
    resumed = scene.step(paused, at=50)
    assert (resumed.status.phase, counts(resumed.status)) == ("Pending", (1, 1, 1, 0))
    assert len(resumed.create) == 2


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param(lambda s: (s.running(0), broken(s)), id="failed"),
        pytest.param(lambda s: (s.running(0),), id="gone"),
        pytest.param(lambda s: (s.running(0), s.running(1, deleting=True)), id="going"),
    ],
)
def test_deciding_twice_counts_once(pods: object) -> None:
    """The write was heard by the API server, and the operator died before it did anything else."""
    scene = Scene()
    seen = pods(scene)  # type: ignore[operator]
    counted = scene.step(scene.started(), *seen)
    once = scene.step(counted.status, *seen, at=1)
    assert scene.step(once.status, *seen, at=1) == once
    assert counts(once.status) == counts(counted.status)
    assert not once.ahead


def test_a_finished_job_stays_finished() -> None:
    scene = Scene(restart={"limit": 0})
    status = scene.step(scene.started(), scene.running(0), broken(scene)).status
    generous = Scene(restart={"limit": 9})
    gone = status.workers.model_copy(update={"ready": 0, "active": 0})
    over = status.model_copy(update={"workers": gone, "workers_ready": "0/2"})
    assert generous.step(status, at=99) == Decision(over)


def test_after_an_upgrade_the_next_restart_replaces_all_pods() -> None:
    scene = Scene()
    old = scene.running(0, agent="older")
    counted = scene.step(scene.started(), old, broken(scene)).status
    gone = scene.step(counted, old, broken(scene), at=1)
    assert [each.name for each in gone.delete] == ["digits-worker-0", "digits-worker-1"]
    assert scene.step(scene.started(), old, second(scene, 0)).delete == ()


def test_pods_of_a_launch_that_an_upgrade_interrupts_are_made_anew() -> None:
    scene = Scene()
    decision = scene.step(JobStatus(), scene.running(0, agent="older"))
    assert [each.name for each in decision.delete] == ["digits-worker-0"]
    assert [each.name for each in decision.create] == ["digits-worker-1"]
    assert scene.step(JobStatus(), *(scene.running(i, agent="older") for i in range(2))).delete == ()
