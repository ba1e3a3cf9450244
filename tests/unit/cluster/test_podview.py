from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from trireme.cluster import podview
from trireme.lifecycle.pod import Pod, PodPhase, Terminated

POD: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {
        "name": "digits-worker-1",
        "namespace": "team",
        "uid": "u",
        "resourceVersion": "12",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {
            "trireme.dev/job": "digits",
            "trireme.dev/role": "worker",
            "trireme.dev/index": "1",
            "trireme.dev/attempt": "2",
        },
        "annotations": {"trireme.dev/plan": "abc", "trireme.dev/agent": "f00"},
        "ownerReferences": [{"uid": "other"}, {"uid": "job", "controller": True}],
        "managedFields": [{"anything": ["at", "all"]}],
    },
    "spec": {"nodeName": "n1", "containers": [{"name": "trainer", "image": "i"}, {"name": "sidecar"}]},
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "containerStatuses": [
            {"name": "sidecar", "state": {"terminated": {"exitCode": 9}}},
            {"name": "trainer", "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}}},
        ],
    },
}
RUNNING = Pod(
    namespace="team", name="digits-worker-1", uid="u", resource_version="12", job="digits", owner_uid="job",
    role="worker", index=1, attempt=2, plan="abc", agent="f00", phase=PodPhase.RUNNING, created_at=1767225600.0,
    node="n1",
    ip="10.0.0.1", running=True,
)  # fmt: skip


def with_status(**status: Any) -> dict[str, Any]:
    return {**copy.deepcopy(POD), "status": status}


def statuses(*states: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "state": state} for name, state in states]


def test_all_that_decisions_need_of_a_running_pod() -> None:
    assert podview.of_object(POD) == RUNNING
    assert podview.decode(msgspec.json.encode(POD)) == RUNNING
    assert podview.job_key(RUNNING) == ("team", "digits")


def test_a_stranger_without_any_of_our_marks() -> None:
    metadata = {"name": "x", "namespace": "team", "uid": "u", "resourceVersion": "1"}
    assert podview.of_object({"metadata": metadata, "spec": {"containers": [{"name": "c"}]}}) == Pod(
        namespace="team", name="x", uid="u", resource_version="1", job="", owner_uid="", role="", index=-1, attempt=-1,
        plan="", agent="", phase=PodPhase.PENDING, created_at=0.0,
    )  # fmt: skip


WAITING = ("trainer", {"waiting": {"reason": "ContainerCreating"}})
PULLING = ("sidecar", {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
ENDED = {
    "exitCode": 137,
    "signal": 9,
    "reason": "OOMKilled",
    "message": "last words",
    "finishedAt": "2026-01-01T00:01:00Z",
}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({}, {"phase": PodPhase.PENDING}, id="new"),
        pytest.param({"phase": "Strange"}, {"phase": PodPhase.UNKNOWN}, id="unknown phase"),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}]},
            {"unschedulable": "full"},
            id="unschedulable",
        ),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]},
            {"gated": True},
            id="gated",
        ),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "True"}]}, {"unschedulable": ""}, id="scheduled"
        ),
        pytest.param(
            {"containerStatuses": statuses(WAITING)},
            {"waiting_reason": "ContainerCreating", "running": False},
            id="starting",
        ),
        pytest.param(
            {"containerStatuses": statuses(WAITING, PULLING)},
            {"waiting_reason": "ImagePullBackOff", "waiting_message": "no such image"},
            id="what is wrong comes before what merely waits",
        ),
        pytest.param(
            {
                "initContainerStatuses": statuses(("prepare", {"waiting": {"reason": "CrashLoopBackOff"}})),
                "containerStatuses": statuses(PULLING),
            },
            {"waiting_reason": "CrashLoopBackOff"},
            id="init containers come first",
        ),
        pytest.param(
            {"phase": "Failed", "containerStatuses": statuses(("trainer", {"terminated": ENDED}))},
            {
                "phase": PodPhase.FAILED,
                "running": False,
                "terminated": Terminated(137, "OOMKilled", 9, "last words", 1767225660.0),
            },
            id="ended",
        ),
        pytest.param(
            {
                "phase": "Running",
                "containerStatuses": statuses(("sidecar", {"running": {}}), ("trainer", {"terminated": ENDED})),
            },
            {"phase": PodPhase.RUNNING, "running": False, "sidecar": True},
            id="ended, but for a sidecar",
        ),
        pytest.param(
            {"phase": "Running", "containerStatuses": statuses(("trainer", {"running": {}}))},
            {"running": True, "sidecar": False},
            id="the trainer is no sidecar",
        ),
        pytest.param(
            {
                "phase": "Failed",
                "initContainerStatuses": statuses(
                    ("prepare", {"terminated": {"exitCode": 0}}), ("fetch", {"terminated": ENDED}), ("last", {})
                ),
                "containerStatuses": statuses(WAITING),
            },
            {"terminated": Terminated(137, "OOMKilled", 9, "last words", 1767225660.0, init="fetch")},
            id="an init container failed",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "initContainerStatuses": statuses(("fetch", {"terminated": ENDED})),
                "containerStatuses": statuses(WAITING),
            },
            {"terminated": None},
            id="an init container failed and is tried again",
        ),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted", "message": "disk"},
            {"phase": PodPhase.FAILED, "reason": "Evicted", "message": "disk", "terminated": None},
            id="evicted",
        ),
        pytest.param(
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]},
            {"disruption": "PreemptionByScheduler"},
            id="preempted",
        ),
    ],
)
def test_states(status: dict[str, Any], expected: dict[str, Any]) -> None:
    pod = podview.of_object(with_status(**status))
    assert {name: getattr(pod, name) for name in expected} == expected


def test_the_first_container_trains_when_none_is_called_trainer() -> None:
    pod = copy.deepcopy(POD)
    pod["spec"]["containers"] = [{"name": "main"}, {"name": "helper"}]
    pod["status"]["containerStatuses"] = statuses(
        ("helper", {"running": {}}), ("main", {"terminated": {"exitCode": 3}})
    )
    assert podview.of_object(pod).terminated == Terminated(3)


def test_a_pod_that_is_being_deleted() -> None:
    pod = copy.deepcopy(POD)
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:02:00Z"
    assert podview.of_object(pod).deleting


@pytest.mark.parametrize("data", [b"", b"[]", b'{"metadata":{}}', b'{"metadata":3,"spec":{}}'])
def test_what_is_no_pod_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        podview.decode(data)
