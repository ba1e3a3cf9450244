"""The job's life as a table: what is observed, what is done, what is said."""

from __future__ import annotations

import pytest
from support.scenes import NOW, Scene, after
from trireme.contract import wire
from trireme.lifecycle.decide import decide, rejected
from trireme.lifecycle.decision import Decision, PodDeletion, PodExpiry
from trireme.lifecycle.observe import Observed, observe
from trireme.lifecycle.pod import Terminated
from trireme.spec.errors import FieldError
from trireme.spec.status import JobStatus, Progress, ReplicaCounts

EMPTY = JobStatus()


def said(status: JobStatus) -> dict[str, str]:
    return {c.type: f"{c.status}/{c.reason}" for c in status.conditions}


def step(scene: Scene, status: JobStatus, *pods: object, at: float = 0, **seen: object) -> Decision:
    return decide(scene.plan, observe(scene.plan, pods, **seen), status, after(at))  # type: ignore[arg-type]


def run(scene: Scene) -> JobStatus:
    """The status of a job whose pods all run."""
    return step(scene, EMPTY, *(scene.running(i) for i in range(len(scene.plan.pods)))).status


def test_a_pod_that_does_not_start_is_named_after_a_while() -> None:
    scene = Scene()
    pods = (scene.running(0), scene.pod(1, node="n1", waiting_reason="ContainerCreating"))
    first = step(scene, EMPTY, *pods)
    assert (first.status.message, first.look_again_seconds, first.renew) == ("Pending: 1/2 pods run", 30.0, False)
    later = step(scene, first.status, *pods, at=30)
    assert (later.look_again_seconds, later.renew) == (None, True)
    assert later.status.message == (
        "Pending: 1/2 pods run; digits-worker-1 is still ContainerCreating: kubectl describe pod tells"
    )


def test_a_new_job_makes_its_pods() -> None:
    scene = Scene()
    decision = step(scene, EMPTY)
    assert (decision.create, decision.delete) == (scene.plan.pods, ())
    assert (decision.status.phase, decision.status.message) == ("Pending", "Pending: 0/2 pods run")
    assert said(decision.status) == {"Scheduled": "False/PodsPending", "Running": "False/PodsPending"}
    assert decision.status.workers_ready == "0/2"


def test_deciding_twice_changes_nothing() -> None:
    scene = Scene()
    once = step(scene, EMPTY, scene.running(0))
    assert step(scene, once.status, scene.running(0), at=60) == once


def test_only_missing_pods_are_made_again_before_the_start() -> None:
    scene = Scene()
    assert step(scene, EMPTY, scene.running(1)).create == scene.plan.pods[:1]


def test_a_pod_that_is_deleted_before_the_start_is_waited_for_and_made_again() -> None:
    scene = Scene()
    going = scene.failed(0, Terminated(143, "Error"), deleting=True)
    waiting = step(scene, EMPTY, going, scene.running(1))
    assert (waiting.create, waiting.status.phase, waiting.status.failure) == ((), "Pending", None)
    assert step(scene, waiting.status, scene.running(1)).create == scene.plan.pods[:1]


def test_unschedulable_is_a_condition() -> None:
    scene = Scene()
    pod = scene.pod(1, unschedulable="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    status = step(scene, EMPTY, scene.running(0), pod).status
    assert said(status)["Scheduled"] == "False/Unschedulable"
    assert status.message == "Pending: 1/2 unschedulable: Insufficient nvidia.com/gpu"


def test_pods_of_an_older_plan_are_replaced_before_the_start() -> None:
    scene = Scene()
    decision = step(scene, EMPTY, scene.running(0, plan="older"), scene.running(1))
    assert (decision.delete, decision.create) == ((PodDeletion("digits-worker-0", "pod-0"),), ())
    assert decision.status.phase == "Pending"


def test_a_running_job_keeps_its_plan_and_says_so() -> None:
    scene = Scene()
    decision = step(scene, run(scene), scene.running(0, plan="older"), scene.running(1))
    assert (decision.delete, decision.create, decision.status.phase) == ((), (), "Running")
    assert decision.status.message.endswith("gang scheduling, waits for the next restart")


def test_when_all_pods_run_the_job_runs_and_the_coordinator_is_asked() -> None:
    scene = Scene()
    decision = step(scene, EMPTY, scene.running(0), scene.running(1))
    assert decision.status.start_time == NOW
    assert (decision.status.phase, decision.status.message) == ("Running", "Running: 2/2 pods")
    assert said(decision.status) == {"Scheduled": "True/AllPodsPlaced", "Running": "True/AllPodsRun"}
    assert decision.poll_coordinator == "10.0.0.0"


def test_progress_comes_from_the_coordinator_with_percent_and_eta() -> None:
    scene = Scene()
    report = wire.JobReport(wire.Phase.RUNNING, 1, (), wire.Progress(30, 120, {"loss": 0.5}), 2.0)
    status = step(scene, run(scene), scene.running(0), scene.running(1), report=report).status
    assert status.progress == Progress(step=30, total_steps=120, percent=25, eta_seconds=45, metrics={"loss": 0.5})


@pytest.mark.parametrize(("said", "shown"), [(40, 40), (None, 20)], ids=["newer", "not said yet"])
def test_the_last_checkpoint_is_remembered(said: int | None, shown: int) -> None:
    scene = Scene()
    before = run(scene).model_copy(update={"progress": Progress(step=25, last_checkpoint_step=20)})
    report = wire.JobReport(wire.Phase.RUNNING, 1, (), wire.Progress(41, None, {}, said))
    status = step(scene, before, scene.running(0), scene.running(1), report=report).status
    assert status.progress == Progress(step=41, last_checkpoint_step=shown)


@pytest.mark.parametrize(
    ("said", "speed", "shown"),
    [
        pytest.param(wire.Progress(1, 2**62), 5e-324, Progress(step=1, total_steps=2**62, percent=0), id="for ever"),
        pytest.param(
            wire.Progress(1, 2), -5e-324, Progress(step=1, total_steps=2, percent=50, eta_seconds=0), id="backwards"
        ),
        pytest.param(
            wire.Progress(-(2**62), 1), None, Progress(step=-(2**62), total_steps=1, percent=0), id="negative"
        ),
        pytest.param(
            wire.Progress(1, None, dict.fromkeys(map(str, range(40)), 0.0)),
            None,
            Progress(step=1, metrics=dict.fromkeys(map(str, range(wire.METRICS_MAX)), 0.0)),
            id="too-many-metrics",
        ),
    ],
)
def test_progress_that_no_status_could_hold_is_cut(said: wire.Progress, speed: float | None, shown: Progress) -> None:
    scene = Scene()
    report = wire.JobReport(wire.Phase.RUNNING, 1, (), said, speed)
    assert step(scene, run(scene), scene.running(0), scene.running(1), report=report).status.progress == shown


def test_success_takes_the_last_word_of_worker_0() -> None:
    scene = Scene()
    last = wire.Progress(120, 120, {"accuracy": 0.98})
    status = step(scene, run(scene), scene.succeeded(0, last), scene.succeeded(1), at=42).status
    assert (status.phase, status.message) == ("Succeeded", "Succeeded: 2 pods, 2 processes in 42s")
    assert status.progress == Progress(step=120, total_steps=120, percent=100, metrics={"accuracy": 0.98})
    assert said(status) == {
        "Scheduled": "True/AllPodsPlaced",
        "Running": "False/Succeeded",
        "Succeeded": "True/AllRanksDone",
    }
    assert (status.completion_time, status.workers_ready) == (after(42), "2/2")


def test_one_pod_that_is_done_is_not_success() -> None:
    scene = Scene()
    decision = step(scene, run(scene), scene.succeeded(0), scene.running(1))
    assert (decision.status.phase, decision.create) == ("Running", ())


def test_a_failure_is_final_at_once_when_nobody_is_left_to_speak() -> None:
    scene = Scene(restart={"limit": 0})
    status = step(scene, run(scene), scene.failed(0, Terminated(3)), scene.failed(1, Terminated(200))).status
    assert (status.phase, status.message) == (
        "Failed",
        "Failed: worker-0: exit code 3: the program exited with code 3",
    )
    assert said(status)["Failed"] == "True/Error"


def test_a_failure_settles_before_it_is_final_and_then_cleans_up() -> None:
    scene = Scene(restart={"limit": 0, "scope": "All"})
    pods = (scene.failed(0, Terminated(137, "OOMKilled")), scene.running(1))
    first = step(scene, run(scene), *pods)
    assert (first.status.phase, first.delete, first.look_again_seconds) == ("Running", (), 3.0)
    assert said(first.status)["Running"] == "False/RankFailed"
    middle = step(scene, first.status, *pods, at=1)
    assert (middle.status, middle.look_again_seconds) == (first.status, 2.0)
    last = step(scene, middle.status, *pods, at=3)
    assert (last.status.phase, last.delete) == ("Failed", (PodDeletion("digits-worker-1", "pod-1"),))
    assert last.status.failure is not None
    assert last.status.failure.reason == "OOMKilled"


def test_a_failure_before_the_start_fails_the_job() -> None:
    scene = Scene(restart={"limit": 0})
    status = step(scene, EMPTY, scene.failed(0, Terminated(203)), scene.pod(1)).status
    assert (status.phase, said(status)["Failed"]) == ("Failed", "True/BadEnvironment")


@pytest.mark.parametrize(
    ("cleanup", "gone"),
    [("Running", ["digits-worker-1"]), ("All", ["digits-worker-1", "digits-worker-0"]), ("None", [])],
)
def test_cleanup(cleanup: str, gone: list[str]) -> None:
    scene = Scene(cleanup={"pods": cleanup}, restart={"limit": 0})
    pods = (scene.failed(0, Terminated(1)), scene.running(1))
    assert [deletion.name for deletion in step(scene, run(scene), *pods).delete] == gone


def test_pods_that_stay_are_ended_when_the_job_has_finished() -> None:
    scene = Scene(cleanup={"pods": "None"}, restart={"limit": 0})
    pods = (scene.failed(0, Terminated(1)), scene.running(1))
    over = step(scene, run(scene), *pods)
    assert (over.status.phase, over.expire, over.look_again_seconds) == ("Failed", (), 10.0)
    assert step(scene, over.status, *pods, at=4).look_again_seconds == 6.0
    late = step(scene, over.status, *pods, at=10)
    assert (late.expire, late.delete, late.status) == ((PodExpiry("digits-worker-1", "pod-1"),), (), over.status)


def test_a_sidecar_neither_keeps_a_job_alive_nor_outlives_it() -> None:
    scene = Scene()
    pods = [scene.running(i, running=False, sidecar=True, terminated=Terminated(0, "Completed")) for i in range(2)]
    decision = step(scene, run(scene), *pods)
    assert decision.status.phase == "Succeeded"
    assert decision.delete == tuple(PodDeletion(pod.name, pod.uid) for pod in pods)


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (1, "Failed")])
def test_a_pod_whose_containers_have_ended_stays_though_its_phase_does_not_say_so_yet(code: int, phase: str) -> None:
    scene = Scene(restart={"limit": 0})
    pods = [scene.running(i, running=False, terminated=Terminated(code)) for i in range(2)]
    decision = step(scene, run(scene), *pods)
    assert (decision.status.phase, decision.delete) == (phase, ())


@pytest.mark.parametrize(("end", "shown"), [("Succeeded", "2/2"), ("Failed", "1/2")])
def test_terminal_is_terminal(end: str, shown: str) -> None:
    scene = Scene(restart={"limit": 0})
    pods = [scene.succeeded(i) if end == "Succeeded" else scene.failed(i, Terminated(1)) for i in range(2)]
    status = step(scene, run(scene), *pods).status
    assert status.phase == end
    assert step(scene, status, at=99) == Decision(status)
    going = {"workers": status.workers.model_copy(update={"ready": 1, "active": 1}), "workers_ready": shown}
    assert step(scene, status, scene.running(0), at=99).status == status.model_copy(update=going)
    seen = status.model_copy(update={"observed_generation": 2})
    assert rejected(2, status, (FieldError("spec", "bad"),), after(99)) == seen


def test_an_edit_of_a_finished_job_is_seen_and_changes_nothing_else() -> None:
    scene = Scene()
    pods = scene.succeeded(0), scene.succeeded(1)
    status = step(scene, run(scene), *pods).status
    scene.job = scene.job.model_copy(update={"generation": 7})
    assert scene.step(status, *pods, at=9) == Decision(status.model_copy(update={"observed_generation": 7}))


def test_an_invalid_job_fails_with_every_problem() -> None:
    errors = (FieldError("spec.a", "bad"), FieldError("spec.b", "worse"))
    status = rejected(3, EMPTY, errors, NOW)
    assert (status.phase, status.message) == ("Failed", "Failed: invalid spec: spec.a: bad; spec.b: worse")
    assert said(status) == {"Failed": "True/InvalidSpec"}
    assert status.observed_generation == 3


def test_a_running_job_that_a_change_makes_invalid_runs_no_more() -> None:
    scene = Scene()
    status = rejected(4, run(scene), (FieldError("spec.a", "bad"),), after(9))
    assert said(status) == {"Scheduled": "True/AllPodsPlaced", "Running": "False/Failed", "Failed": "True/InvalidSpec"}
    assert (status.workers, status.workers_ready) == (ReplicaCounts(desired=2), "0/2")


def test_a_failed_job_has_no_ready_pods_once_they_are_gone() -> None:
    scene = Scene(restart={"limit": 0})
    failed = step(scene, run(scene), scene.running(0), scene.failed(1, Terminated(1))).status
    assert (failed.phase, failed.workers_ready) == ("Failed", "1/2")
    over = step(scene, failed, scene.failed(1, Terminated(1)), at=19).status
    assert (over.workers, over.workers_ready) == (ReplicaCounts(desired=2, failed=1), "0/2")


def test_observed_is_empty_by_default() -> None:
    assert Observed().active == ()


def test_a_job_is_done_when_its_workers_are_and_its_servers_go() -> None:
    scene = Scene(strategy="ParameterServer")
    server = scene.running(0, name="digits-server-0", uid="pod-s", role="server")
    started = step(scene, EMPTY, scene.running(0), scene.running(1), server).status
    assert (started.phase, started.message, started.workers_ready) == ("Running", "Running: 3/3 pods", "2/2")
    assert (started.workers.ready, started.servers) == (2, ReplicaCounts(desired=1, ready=1, active=1))
    decision = step(scene, started, scene.succeeded(0), scene.succeeded(1), server, at=9)
    assert (decision.status.phase, decision.delete) == ("Succeeded", (PodDeletion("digits-server-0", "pod-s"),))
    over = step(scene, decision.status, scene.succeeded(0), at=19).status
    assert (over.workers, over.servers) == (
        ReplicaCounts(desired=2, succeeded=2), ReplicaCounts(desired=1),
    )  # fmt: skip


def test_a_failed_server_is_named() -> None:
    scene = Scene(strategy="ParameterServer")
    server = scene.failed(0, Terminated(137, "OOMKilled"), name="digits-server-0", uid="pod-s", role="server")
    status = step(scene, EMPTY, scene.running(0), scene.running(1), server).status
    assert status.failure is not None
    assert (status.failure.role, status.failure.pod, status.failure.reason) == (
        "server",
        "digits-server-0",
        "OOMKilled",
    )


def test_an_allreduce_has_no_servers() -> None:
    assert run(Scene()).servers is None
