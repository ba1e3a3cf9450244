"""Pods that run and are silent: when they count as failed, once, and are replaced."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scenes import NOW, Scene
from trireme.contract import exits, wire
from trireme.contract.wire import JobReport, Phase
from trireme.lifecycle.pod import Pod, PodPhase, Terminated
from trireme.lifecycle.silence import GIVEN_UP, mark

SCENE = Scene(restart={"nodeLostSeconds": 30})
PODS = [SCENE.running(0), SCENE.running(1)]
HOST, OTHER = (replace(pod, created_at=NOW.timestamp() - 1000) for pod in PODS)


def report(**silent: float) -> JobReport:
    return JobReport(Phase.FORMING, 1, silent={uid.replace("_", "-"): seconds for uid, seconds in silent.items()})


def gave_up(reason: str = "CoordinatorLost", code: int = exits.COORDINATOR_LOST) -> Pod:
    failure = wire.Failure("worker", 1, code, reason, "worker-0 does not answer any more", at=NOW.timestamp())
    said = wire.termination_message(wire.Termination(code, failure=failure))
    ended = Terminated(code, "Error", message=said, finished_at=NOW.timestamp())
    return replace(OTHER, phase=PodPhase.FAILED, running=False, terminated=ended)


def marked(*pods: Pod, said: JobReport | None = None) -> list[str]:
    return [
        pod.name for pod in mark(pods, said, None, 30.0) if (pod.reason, pod.message) == (exits.POD_SILENT, GIVEN_UP)
    ]


@pytest.mark.parametrize(
    ("pods", "said", "silent"),
    [
        pytest.param(PODS, None, [], id="nothing is known"),
        pytest.param(PODS, report(pod_1=119.0), [], id="its node may be lost"),
        pytest.param(PODS, report(pod_1=120.0), ["digits-worker-1"], id="Kubernetes sees nothing wrong"),
        pytest.param(PODS, report(pod_7=999.0), [], id="its predecessor"),
        pytest.param([PODS[0], replace(PODS[1], deleting=True)], report(pod_1=999.0), [], id="it goes already"),
        pytest.param([HOST, gave_up()], None, ["digits-worker-0"], id="worker 0, whom its peer gave up"),
        pytest.param([PODS[0], gave_up()], None, [], id="worker 0's successor"),
        pytest.param([HOST, gave_up(exits.POD_SILENT)], None, [], id="the other one was silent"),
        pytest.param([HOST, gave_up("Error", 1)], None, [], id="the other one failed"),
    ],
)
def test_who_is_silent(pods: list[Pod], said: JobReport | None, silent: list[str]) -> None:
    assert marked(*pods, said=said) == silent


def test_a_frozen_pod_is_counted_once_and_replaced() -> None:
    status, said = SCENE.started(), report(pod_1=120.0)
    begun = SCENE.step(status, *PODS, at=200, report=said)
    assert (begun.status.restarts, begun.delete, begun.ahead) == (1, (), True)
    assert begun.status.message == f"Restarting 1/3: worker-1: PodSilent: {GIVEN_UP}"
    assert begun.poll_coordinator == PODS[0].ip
    for heard in (said, None):  # another operator has not asked the coordinator yet
        then = SCENE.step(begun.status, *PODS, at=201, report=heard)
        assert ([each.name for each in then.delete], then.status.restarts) == (["digits-worker-1"], 1)
    going = [PODS[0], replace(PODS[1], deleting=True)]
    waiting = SCENE.step(then.status, *going, at=202, report=said).status
    successor = SCENE.running(1, uid="pod-1-again", attempt=1)
    back = SCENE.step(waiting, PODS[0], successor, at=210, report=said).status
    assert (waiting.phase, back.phase, back.restarts) == ("Restarting", "Running", 1)


def test_a_frozen_worker_0_is_replaced_with_those_that_gave_it_up() -> None:
    pods = [HOST, gave_up()]
    begun = SCENE.step(SCENE.started(), *pods, at=10)
    then = SCENE.step(begun.status, *pods, at=11)
    assert (then.status.restarts, sorted(each.name for each in then.delete)) == (
        1,
        ["digits-worker-0", "digits-worker-1"],
    )
