"""trireme.pocket.kubelet.podstatus: what a pod's status says, given its containers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trireme.pocket.kubelet.podstatus import (
    ContainerRecord,
    PodRecord,
    Running,
    State,
    Terminated,
    Waiting,
    phase,
    status,
)

CREATING = Waiting("ContainerCreating")
INITIALIZING = Waiting("PodInitializing")
RUNNING = Running("2026-01-01T00:00:01Z")
DONE = Terminated(0, "Completed", "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z")
BROKEN = Terminated(3, "Error", "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", "why", "pocket://u/a/0")
LOOP = Waiting("CrashLoopBackOff", "back-off 10s")
NOW = "2026-01-01T00:00:09Z"


def record(name: str, state: State, last: Terminated | None = None, restarts: int = 0) -> ContainerRecord:
    return ContainerRecord(name, "busybox", state, last, restarts)


def pod(*states: State, init: tuple[State, ...] = (), sidecars: int = 0) -> PodRecord:
    initial = tuple(record(f"i{number}", state) for number, state in enumerate(init))
    main = tuple(record(f"c{number}", state, BROKEN if state is LOOP else None) for number, state in enumerate(states))
    return PodRecord(initial, main, frozenset(f"i{number}" for number in range(sidecars)))


@pytest.mark.parametrize(
    ("pod", "policy", "expected"),
    [
        pytest.param(pod(CREATING), "Never", "Pending", id="being created"),
        pytest.param(pod(RUNNING, CREATING), "Never", "Pending", id="one still being created"),
        pytest.param(pod(RUNNING), "Never", "Running", id="running"),
        pytest.param(pod(RUNNING, BROKEN), "Never", "Running", id="one failed, one runs"),
        pytest.param(pod(DONE, DONE), "Never", "Succeeded", id="all done"),
        pytest.param(pod(DONE, BROKEN), "Never", "Failed", id="one failed"),
        pytest.param(pod(DONE, BROKEN), "OnFailure", "Running", id="one will be restarted"),
        pytest.param(pod(DONE), "OnFailure", "Succeeded", id="done, restarted only on failure"),
        pytest.param(pod(DONE), "Always", "Running", id="done, always restarted"),
        pytest.param(pod(LOOP), "Always", "Running", id="backing off"),
        pytest.param(pod(INITIALIZING, init=(RUNNING,)), "Never", "Pending", id="initializing"),
        pytest.param(pod(INITIALIZING, init=(BROKEN,)), "Never", "Failed", id="init failed"),
        pytest.param(pod(INITIALIZING, init=(BROKEN,)), "OnFailure", "Pending", id="init failed, will be restarted"),
        pytest.param(pod(DONE, init=(RUNNING,), sidecars=1), "Never", "Succeeded", id="a sidecar does not count"),
    ],
)
def test_phase(pod: PodRecord, policy: str, expected: str) -> None:
    assert phase(replace(pod, over=True), policy) == expected


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(pod(DONE, DONE), "Running", id="all done"),
        pytest.param(pod(BROKEN), "Running", id="failed"),
        pytest.param(pod(INITIALIZING, init=(BROKEN,)), "Pending", id="init failed"),
        pytest.param(pod(CREATING), "Pending", id="being created"),
    ],
)
def test_a_pod_ends_after_its_containers(pod: PodRecord, expected: str) -> None:
    assert phase(pod, "Never") == expected


def test_the_kubelets_own_verdict_overrules() -> None:
    failed = PodRecord((), (record("c0", CREATING),), failed=Waiting("DeadlineExceeded", "too long"), over=True)
    told = status(failed, "Never", NOW, {})
    assert (told["phase"], told["reason"], told["message"]) == ("Failed", "DeadlineExceeded", "too long")


def test_status_of_a_running_pod() -> None:
    running = PodRecord(
        init=(record("i", DONE),),
        main=(record("c", RUNNING, last=BROKEN, restarts=1),),
        started_at="2026-01-01T00:00:00Z",
        pod_ip="127.64.0.2",
        host_ip="127.64.0.1",
    )
    since = "2026-01-01T00:00:05Z"
    before = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]}

    def condition(kind: str, at: str) -> dict[str, object]:
        times = {"lastProbeTime": None, "lastTransitionTime": at}
        return {"type": kind, "status": "True", **times, "reason": None, "message": None}

    assert status(running, "OnFailure", NOW, before) == {
        "phase": "Running",
        "conditions": [condition("Initialized", NOW), condition("Ready", since), condition("ContainersReady", NOW)],
        "hostIP": "127.64.0.1",
        "hostIPs": [{"ip": "127.64.0.1"}],
        "podIP": "127.64.0.2",
        "podIPs": [{"ip": "127.64.0.2"}],
        "startTime": "2026-01-01T00:00:00Z",
        "reason": None,
        "message": None,
        "initContainerStatuses": [
            {
                "name": "i",
                "image": "busybox",
                "imageID": "",
                "state": {
                    "terminated": {
                        "exitCode": 0,
                        "reason": "Completed",
                        "startedAt": "2026-01-01T00:00:01Z",
                        "finishedAt": "2026-01-01T00:00:02Z",
                    }
                },
                "lastState": {},
                "ready": True,
                "started": False,
                "restartCount": 0,
                "containerID": "",
            }
        ],
        "containerStatuses": [
            {
                "name": "c",
                "image": "busybox",
                "imageID": "",
                "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}},
                "lastState": {
                    "terminated": {
                        "exitCode": 3,
                        "reason": "Error",
                        "startedAt": "2026-01-01T00:00:01Z",
                        "finishedAt": "2026-01-01T00:00:02Z",
                        "containerID": "pocket://u/a/0",
                        "message": "why",
                    }
                },
                "ready": True,
                "started": True,
                "restartCount": 1,
                "containerID": "",
            }
        ],
    }


@pytest.mark.parametrize(
    ("pod", "policy", "expected"),
    [
        pytest.param(pod(CREATING), "Never",
                     {"Initialized": ("True", None),
                      "Ready": ("False", "ContainersNotReady"),
                      "ContainersReady": ("False", "ContainersNotReady")}, id="being created"),
        pytest.param(pod(INITIALIZING, init=(RUNNING,)), "Never",
                     {"Initialized": ("False", "ContainersNotInitialized"),
                      "Ready": ("False", "ContainersNotReady"),
                      "ContainersReady": ("False", "ContainersNotReady")}, id="initializing"),
        pytest.param(pod(DONE), "Never",
                     {"Initialized": ("True", "PodCompleted"),
                      "Ready": ("False", "PodCompleted"),
                      "ContainersReady": ("False", "PodCompleted")}, id="done"),
        pytest.param(pod(BROKEN), "Never",
                     {"Initialized": ("True", None),
                      "Ready": ("False", "PodFailed"),
                      "ContainersReady": ("False", "PodFailed")}, id="failed"),
    ],
)  # fmt: skip
def test_conditions(pod: PodRecord, policy: str, expected: dict[str, tuple[str, str | None]]) -> None:
    conditions = status(replace(pod, over=True), policy, NOW, {})["conditions"]
    assert {each["type"]: (each["status"], each["reason"]) for each in conditions} == expected
