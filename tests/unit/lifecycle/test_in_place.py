"""A failure whose pod runs on: when it is counted, what the coordinator is told, and when the restart is over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scenes import NOW, Scene, after, said
from trireme.contract import wire
from trireme.contract.wire import Held, News, Phase, Ruling
from trireme.lifecycle.decision import PodDeletion
from trireme.lifecycle.pod import Pod, Terminated
from trireme.spec.status import JobStatus

KILLED = wire.Failure(
    "worker", 1, 137, "Signal", "ended by SIGKILL", NOW.timestamp(), rank=1, signal="SIGKILL", log_tail=("step 7",)
)
LINE = "worker-1, rank 1: ended by SIGKILL"
HERE = "its processes start again in its pod"


def held(attempt: int = 0, failure: wire.Failure = KILLED, uid: str = "pod-1") -> News:
    """The coordinator's word while the pod waits."""
    missing = ("worker-0", "worker-1")
    return News(Phase.FORMING, 1, missing, failure=failure, attempt=attempt, held=Held(uid, attempt, failure))


def going(attempt: int, phase: Phase = Phase.RUNNING, missing: tuple[str, ...] = ()) -> News:
    return News(phase, 2, missing, attempt=attempt)


def broken(scene: Scene, attempt: int | None) -> Pod:
    """Worker 1, ended by its failure in a later attempt than made it."""
    word = wire.termination_message(wire.Termination(137, failure=KILLED, attempt=attempt))
    return scene.failed(1, Terminated(137, "Error", message=word))


def counts(status: JobStatus) -> tuple[int, int, int]:
    return status.attempt, status.restarts, status.disruptions


def both(scene: Scene) -> tuple[Pod, Pod]:
    return scene.running(0), scene.running(1)


def counted(scene: Scene) -> JobStatus:
    return scene.step(scene.started(), *both(scene), report=held()).status


def test_it_is_counted_before_the_coordinator_hears_of_it() -> None:
    scene = Scene()
    decision = scene.step(scene.started(), *both(scene), report=held(), at=5)
    assert (decision.ahead, decision.delete, decision.create, decision.ruling) == (True, (), (), None)
    status = decision.status
    assert (status.phase, status.message, counts(status)) == (
        "Restarting",
        f"Restarting 1/3: {LINE}; {HERE}",
        (1, 1, 0),
    )
    assert said(status) == {
        "Scheduled": "True/AllPodsPlaced", "Running": "False/Restarting", "Restarting": "True/RankFailed",
    }  # fmt: skip
    failed = status.failure
    assert failed is not None
    assert (failed.pod, failed.node, failed.exit_code, failed.rank, failed.log_tail) == (
        "digits-worker-1", "n1", 137, 1, ["step 7"],
    )  # fmt: skip
    assert (status.workers.ready, status.workers.failed) == (2, 0)


def test_then_the_coordinator_is_told_as_often_as_it_asks_and_no_pod_is_touched() -> None:
    scene = Scene()
    first = scene.step(counted(scene), *both(scene), report=held(), at=1)
    assert first.ruling == Ruling("pod-1", attempt=0, next_attempt=1)
    assert (first.delete, first.create, first.ahead, first.status.message) == ((), (), False, counted(scene).message)
    assert scene.step(first.status, *both(scene), report=held(), at=2).ruling == first.ruling


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(None, id="a new operator has not asked yet"),
        pytest.param(held(), id="it has not heard"),
        pytest.param(going(1, Phase.FORMING, ("worker-0",)), id="processes stop"),
        pytest.param(going(1, missing=("worker-1",)), id="an independent member is missing"),
        pytest.param(replace(going(1), waiting=True), id="a member of an elastic job waits out its pause"),
    ],
)
def test_it_restarts_until_the_coordinator_says_that_all_are_there(report: News | None) -> None:
    scene = Scene()
    decision = scene.step(counted(scene), *both(scene), report=report, at=9)
    assert (decision.status.phase, counts(decision.status)) == ("Restarting", (1, 1, 0))
    assert (decision.delete, decision.create, decision.poll_coordinator) == ((), (), "10.0.0.0")


def test_then_it_runs() -> None:
    scene = Scene()
    back = scene.step(counted(scene), *both(scene), report=going(1), at=2).status
    assert (back.phase, back.message, counts(back)) == ("Running", "Running: 2/2 pods", (1, 1, 0))
    assert said(back)["Restarting"] == "False/AllPodsRun"


def test_a_coordinator_that_is_cut_off_after_the_ruling_holds_nothing_up() -> None:
    scene = Scene()
    status = counted(scene)
    for _ in range(2):
        status = scene.step(status, *both(scene), report=held(), silent=True).status
        assert (status.phase, counts(status)) == ("Running", (1, 1, 0))


def test_the_next_failure_of_the_same_pod_is_another_one() -> None:
    scene = Scene(restart={"backoffSeconds": 0})
    restarting = scene.step(counted(scene), *both(scene), report=held(1), at=2)
    back = scene.step(counted(scene), *both(scene), report=going(1), at=2).status
    later = scene.step(back, *both(scene), report=held(1), at=50)
    for again in (restarting, later):
        assert (again.ahead, counts(again.status)) == (True, (2, 2, 0))


def test_the_pause_is_left_to_the_coordinator() -> None:
    scene = Scene(restart={"backoffSeconds": 10})
    back = scene.step(counted(scene), *both(scene), report=going(1), at=2).status
    status = scene.step(back, *both(scene), report=held(1), at=20).status
    assert status.message == f"Restarting 2/3, after a pause of 10s: {LINE}; {HERE}"
    ruling = scene.step(status, *both(scene), report=held(1), at=23).ruling
    assert ruling == Ruling("pod-1", attempt=1, next_attempt=2, pause_seconds=7.0)


PERMANENT = replace(KILLED, exit_code=7, reason="Error", message="no such dataset", signal="")


@pytest.mark.parametrize(
    ("spec", "failure", "agent"),
    [
        pytest.param({"permanentExitCodes": [7]}, PERMANENT, "abc", id="permanent"),
        pytest.param({"limit": 0}, KILLED, "abc", id="none left"),
        pytest.param({"scope": "All"}, KILLED, "abc", id="scope All"),
        pytest.param({}, KILLED, "older", id="the operator was upgraded"),
        pytest.param({}, replace(KILLED, reason="NodeLost"), "abc", id="not a restart"),
    ],
)
def test_what_is_not_to_go_on_in_its_pod_is_let_go_and_not_counted(
    spec: dict[str, object], failure: wire.Failure, agent: str
) -> None:
    scene = Scene(restart=spec)
    pods = scene.running(0, agent=agent), scene.running(1)
    started = scene.started()
    decision = scene.step(started, *pods, report=held(failure=failure))
    assert (decision.ruling, decision.status) == (Ruling("pod-1", attempt=0), started)


def test_a_queue_admits_every_attempt_anew() -> None:
    scene = Scene(scheduling={"queue": "gpus"})
    assert scene.step(scene.started(), *both(scene), report=held()).ruling == Ruling("pod-1", attempt=0)


def test_an_edited_job_is_replaced_whole() -> None:
    scene = Scene()
    pods = scene.running(0, plan="older"), scene.running(1, plan="older")
    assert scene.step(scene.started(), *pods, report=held()).ruling == Ruling("pod-1", attempt=0)


def test_what_a_pod_is_let_go_for_is_judged_by_its_end() -> None:
    scene = Scene(restart={"permanentExitCodes": [137]})
    ended = scene.step(scene.started(), scene.running(0), broken(scene, None), report=held())
    assert (ended.status.message, ended.ruling) == (f"Failed: {LINE}", None)


def test_a_pod_that_ends_after_all_was_counted_and_is_replaced() -> None:
    scene = Scene()
    pods = scene.running(0), broken(scene, None)
    gone = scene.step(counted(scene), *pods, report=held(), at=6)
    assert (counts(gone.status), gone.delete, gone.ruling) == (
        (1, 1, 0),
        (PodDeletion("digits-worker-1", "pod-1"),),
        None,
    )
    assert gone.status.message == f"Restarting 1/3: {LINE}; waiting for worker-1"
    up = scene.running(0), scene.running(1, attempt=1, uid="pod-1.1")
    assert scene.step(gone.status, *up, report=None, at=9).status.phase == "Running"


def test_a_pod_that_ended_before_it_was_counted_speaks_for_itself() -> None:
    scene = Scene()
    pods = scene.running(0), broken(scene, None)
    first = scene.step(scene.started(), *pods, report=held())
    assert (first.ahead, counts(first.status)) == (True, (1, 1, 0))
    second = scene.step(first.status, *pods, report=held(), at=1)
    assert (counts(second.status), [each.uid for each in second.delete]) == ((1, 1, 0), ["pod-1"])


def test_a_pod_that_fails_again_at_once_is_a_new_failure_though_an_earlier_attempt_made_it() -> None:
    scene = Scene(restart={"backoffSeconds": 0})
    pods = scene.running(0), broken(scene, 1)
    again = scene.step(counted(scene), *pods, report=going(1), at=2)
    assert (again.ahead, counts(again.status)) == (True, (2, 2, 0))
    assert [each.uid for each in scene.step(again.status, *pods, at=3).delete] == ["pod-1"]


def test_what_fails_while_another_pod_is_replaced_is_counted_with_it() -> None:
    scene = Scene(3)
    pods = scene.running(0), broken(scene, None), scene.running(2)
    other = held(failure=replace(KILLED, index=2, rank=2), uid="pod-2")
    status = scene.step(scene.started(), *pods).status
    decision = scene.step(status, *pods, report=other, at=1)
    assert (decision.ruling, counts(decision.status)) == (Ruling("pod-2", attempt=0, next_attempt=1), (1, 1, 0))


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(lambda s: s.running(1, uid="successor"), id="another pod"),
        pytest.param(lambda s: s.pod(1), id="not seen to run yet"),
    ],
)
def test_of_a_pod_that_is_not_seen_nothing_is_said(pod: object) -> None:
    scene = Scene()
    decision = scene.step(scene.started(), scene.running(0), pod(scene), report=held())  # type: ignore[operator]
    assert (decision.ruling, counts(decision.status)) == (None, (0, 0, 0))


def test_a_suspension_or_a_deadline_comes_first() -> None:
    suspended = Scene(suspend=True)
    assert suspended.step(Scene().started(), *both(suspended), report=held()).status.phase == "Suspended"
    late = Scene(deadlines={"activeSeconds": 60})
    assert late.step(late.started(), *both(late), report=held(), at=60).status.phase == "Failed"


def test_an_elastic_job_says_that_it_goes_on() -> None:
    scene = Scene(elastic={"minReplicas": 1, "maxReplicas": 2})
    status = scene.step(scene.started(), *both(scene), report=held(), at=4).status
    assert (status.phase, counts(status)) == ("Running", (1, 1, 0))
    assert status.message == f"Running: 2/2 pods (elastic 1-2); Restarting 1/3: {LINE}; {HERE}"
    restarting = next(each for each in status.conditions if each.type == "Restarting")
    assert (restarting.status, restarting.last_transition_time) == ("True", after(4))
    assert said(scene.step(status, *both(scene), report=going(1), at=5).status)["Restarting"] == "False/AllPodsRun"
