from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.jobs import UID, VALID
from support.scenes import Scene
from trireme.cli.describe import description, state
from trireme.lifecycle.pod import Pod, PodPhase, Terminated

NOW = datetime(2026, 1, 1, 12, 5, 0, tzinfo=UTC)
JOB = {
    **VALID,
    "metadata": {"name": "digits", "namespace": "team", "uid": UID, "creationTimestamp": "2026-01-01T12:00:00Z"},
    "status": {
        "phase": "Failed",
        "message": "Failed: worker-1, rank 1: exit code 3: ValueError: boom",
        "workersReady": "0/2",
        "startTime": "2026-01-01T12:01:00Z",
        "completionTime": "2026-01-01T12:04:00Z",
        "progress": {"step": 45, "totalSteps": 100, "percent": 45, "metrics": {"loss": 0.25}},
        "conditions": [
            {"type": "Failed", "status": "True", "reason": "Error", "lastTransitionTime": "2026-01-01T12:04:00Z"}
        ],
        "failure": {
            "role": "worker", "index": 1, "rank": 1, "pod": "digits-worker-1", "node": "n1", "exitCode": 3,
            "reason": "Error", "message": "ValueError: boom", "logTail": ["Traceback", "ValueError: boom"],
        },
    },
}  # fmt: skip


def pod(index: int, exit_code: int, owner: str = UID) -> dict[str, Any]:
    ended = {"exitCode": exit_code, "reason": "Error" if exit_code else "Completed"}
    return {
        "metadata": {
            "name": f"digits-worker-{index}",
            "namespace": "team",
            "uid": f"u{index}",
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T12:00:00Z",
            "labels": {"trireme.dev/role": "worker", "trireme.dev/index": str(index)},
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "trainer"}]},
        "status": {
            "phase": "Failed" if exit_code else "Succeeded",
            "podIP": f"10.0.0.{index}",
            "containerStatuses": [{"name": "trainer", "state": {"terminated": ended}}],
        },
    }


def event(reason: str, note: str, at: str, series: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "metadata": {}, "type": "Warning", "reason": reason, "note": note, "eventTime": at,
        **({"series": series} if series else {}),
    }  # fmt: skip


def test_the_whole_page() -> None:
    seen_again = {"count": 4, "lastObservedTime": "2026-01-01T12:02:00.000000Z"}
    events = [
        event("Failed", "Failed: boom", "2026-01-01T12:04:00.000000Z"),
        event("Unschedulable", "Pending:\n no room", "2026-01-01T12:00:01.000000Z", seen_again),
    ]
    pods = [pod(1, 3), pod(0, 0), pod(2, 0, owner="a stranger")]
    assert description(JOB, pods, events, NOW) == [
        "Name:        digits",
        "Namespace:   team",
        "Phase:       Failed",
        "Message:     Failed: worker-1, rank 1: exit code 3: ValueError: boom",
        "Strategy:    AllReduce",
        "Workers:     0/2",
        "Progress:    45/100 (45%) loss 0.25",
        "Attempt:     0, restarts 0, disruptions 0",
        "Submitted:   2026-01-01T12:00:00Z, 5m ago",
        "Started:     2026-01-01T12:01:00Z, 4m ago",
        "Finished:    2026-01-01T12:04:00Z, 60s ago",
        "Conditions:",
        "  TYPE     STATUS   SINCE   REASON",
        "  Failed   True     60s     Error",
        "Pods:",
        "  NAME              RANKS   STATE                NODE   ADDRESS    AGE",
        "  digits-worker-0   0       Completed            n1     10.0.0.0   5m",
        "  digits-worker-1   1       Error, exit code 3   n1     10.0.0.1   5m",
        "Failure:",
        "  digits-worker-1, rank 1 on n1: Error, exit code 3",
        "  ValueError: boom",
        "  Last lines of its output:",
        "    Traceback",
        "    ValueError: boom",
        "Events:",
        "  LAST SEEN   TYPE      REASON          NOTE",
        "  3m (x4)     Warning   Unschedulable   Pending: no room",
        "  60s         Warning   Failed          Failed: boom",
    ]


def test_a_job_that_nobody_looked_at_yet() -> None:
    fresh = {**VALID, "metadata": JOB["metadata"]}
    assert description(fresh, [], [], NOW) == [
        "Name:        digits",
        "Namespace:   team",
        "Phase:       Pending",
        "Message:     no operator has looked at it yet",
        "Strategy:    AllReduce",
        "Attempt:     0, restarts 0, disruptions 0",
        "Submitted:   2026-01-01T12:00:00Z, 5m ago",
    ]


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ({"strategy": "AllReduce", "allReduce": {"backend": "Torch"}}, "AllReduce, Torch"),
        (
            {
                "strategy": "ParameterServer",
                "allReduce": {"backend": "Horovod"},
                "parameterServer": {"consistency": "Sync"},
            },
            "ParameterServer, Sync",
        ),
    ],
)
def test_a_strategy_is_shown_with_what_is_its_own(spec: dict[str, Any], line: str) -> None:
    stored = {**VALID, "metadata": JOB["metadata"], "spec": spec}
    assert f"Strategy:    {line}" in description(stored, [], [], NOW)


SCENE = Scene()


@pytest.mark.parametrize(
    ("pod", "text"),
    [
        (SCENE.pod(0), "Pending"),
        (SCENE.pod(0, node="n1", waiting_reason="ContainerCreating"), "Starting"),
        (SCENE.pod(0, node="n1", waiting_reason="ImagePullBackOff"), "ImagePullBackOff"),
        (SCENE.pod(0, unschedulable="no room"), "Unschedulable"),
        (SCENE.running(0), "Running"),
        (SCENE.running(0, deleting=True), "Terminating"),
        (SCENE.failed(0, Terminated(137, "OOMKilled")), "OOMKilled, exit code 137"),
        (SCENE.failed(0, None, reason="Evicted"), "Evicted"),
        (SCENE.failed(0, Terminated(137, "Error"), reason="Evicted"), "Evicted, exit code 137"),
        (SCENE.pod(0, phase=PodPhase.FAILED), "Failed"),
        (SCENE.succeeded(0), "Completed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pod_in_a_word(pod: Pod, text: str) -> None:
    assert state(pod) == text


def test_a_page_has_no_control_characters() -> None:
    failure = JOB["status"]["failure"] | {"message": "\x1bc", "logTail": ["\x1b[31mred", "\x07"]}
    steered = JOB | {"status": JOB["status"] | {"message": "\x1b]0;x\x07", "failure": failure}}
    lines = description(steered, [], [event("Failed", "\x1bc", "2026-01-01T12:04:00.000000Z")], NOW)
    assert all(line.isprintable() for line in lines)
    own = [line for line in lines if line.startswith("Message") or line.strip() in (r"\x1bc", "red", r"\x07")]
    assert own == [r"Message:     \x1b]0;x\x07", r"  \x1bc", "    red", r"    \x07"]
