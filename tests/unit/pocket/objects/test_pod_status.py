from datetime import UTC, datetime

import pytest
from trireme.pocket.objects.pod_status import PodSummary, summarize

NOW = datetime(2026, 1, 1, 0, 5, 0, tzinfo=UTC)


def container(state, name="c", **more):
    return {"name": name, "state": state, "ready": "running" in state, "restartCount": 0, **more}


def pod(*containers, init=(), init_spec=(), phase="Running", deleting=False, conditions=(), **status):
    metadata = {"name": "p", **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {})}
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "c"}], "initContainers": list(init_spec)},
        "status": {
            "phase": phase,
            "containerStatuses": list(containers),
            "initContainerStatuses": list(init),
            "conditions": list(conditions),
            **status,
        },
    }


RUNNING = {"running": {}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
RESTARTED = {"restartCount": 3, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:00:00Z"}}}


@pytest.mark.parametrize(
    ("obj", "summary"),
    [
        pytest.param(pod(phase="Pending"), PodSummary("0/1", "Pending", "0"), id="pending"),
        pytest.param(pod(container(RUNNING)), PodSummary("1/1", "Running", "0"), id="running"),
        pytest.param(pod(container(RUNNING), deleting=True), PodSummary("1/1", "Terminating", "0"), id="terminating"),
        pytest.param(pod(container(DONE), phase="Succeeded"), PodSummary("0/1", "Completed", "0"), id="completed"),
        pytest.param(
            pod(container({"terminated": {"exitCode": 1, "reason": "Error"}}), phase="Failed"),
            PodSummary("0/1", "Error", "0"), id="error",
        ),
        pytest.param(
            pod(container({"terminated": {"exitCode": 137, "signal": 9}}), phase="Failed"),
            PodSummary("0/1", "Signal:9", "0"), id="signal",
        ),
        pytest.param(
            pod(container({"terminated": {"exitCode": 3}}), phase="Failed"),
            PodSummary("0/1", "ExitCode:3", "0"), id="exit code",
        ),
        pytest.param(
            pod(container({"waiting": {"reason": "ImagePullBackOff"}}), phase="Pending"),
            PodSummary("0/1", "ImagePullBackOff", "0"), id="image pull",
        ),
        pytest.param(
            pod(container({"waiting": {"reason": "CrashLoopBackOff"}}, **RESTARTED)),
            PodSummary("0/1", "CrashLoopBackOff", "3 (5m ago)"), id="restarts",
        ),
        pytest.param(pod(reason="Evicted", phase="Failed"), PodSummary("0/1", "Evicted", "0"), id="evicted"),
        pytest.param(
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
            PodSummary("0/1", "SchedulingGated", "0"), id="gated",
        ),
        pytest.param(
            pod(phase="Pending", init=[container(DONE, "i"), container(RUNNING, "j")],
                init_spec=[{"name": "i"}, {"name": "j"}]),
            PodSummary("0/1", "Init:1/2", "0"), id="init",
        ),
        pytest.param(
            pod(phase="Pending", init=[container({"terminated": {"exitCode": 1}}, "i")], init_spec=[{"name": "i"}]),
            PodSummary("0/1", "Init:ExitCode:1", "0"), id="init failed",
        ),
        pytest.param(
            pod(phase="Pending", init=[container({"waiting": {"reason": "CrashLoopBackOff"}}, "i")],
                init_spec=[{"name": "i"}]),
            PodSummary("0/1", "Init:CrashLoopBackOff", "0"), id="init waits",
        ),
        pytest.param(
            pod(container(RUNNING), init=[container(RUNNING, "s", started=True)],
                init_spec=[{"name": "s", "restartPolicy": "Always"}]),
            PodSummary("2/2", "Running", "0"), id="sidecar",
        ),
        pytest.param(
            pod(container(DONE), container(RUNNING, "d"), conditions=[{"type": "Ready", "status": "True"}]),
            PodSummary("1/1", "Running", "0"), id="one of two completed",
        ),
    ],
)  # fmt: skip
def test_summary(obj, summary):
    assert summarize(obj, NOW) == summary
