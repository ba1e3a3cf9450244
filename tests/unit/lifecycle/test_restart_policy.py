"""Every root cause, and what follows from it."""

from __future__ import annotations

import pytest
from support.scenes import NOW, Scene
from trireme.contract import exits, wire
from trireme.lifecycle.pod import Pod, Terminated
from trireme.lifecycle.policies.restart import Action, action
from trireme.lifecycle.rootcause import root_cause

SCENE = Scene()


def said(code: int, message: str = "", tail: str = "") -> Pod:
    """A pod whose agent left its last word."""
    reason = exits.describe(code).reason
    failure = wire.Failure("worker", 0, code, reason, message, NOW.timestamp(), rank=0, log_tail=(tail,))
    word = wire.termination_message(wire.Termination(code, failure=failure))
    return SCENE.failed(0, Terminated(code, "Error", message=word))


def ended(code: int, reason: str = "Error", message: str = "") -> Pod:
    """A container of which only the kubelet speaks."""
    return SCENE.failed(0, Terminated(code, reason, message=message))


def pod(reason: str, message: str = "", disruption: str = "") -> Pod:
    """A pod that the kubelet ended, or never began."""
    return SCENE.failed(0, None, reason=reason, message=message, disruption=disruption)


def going(disruption: str = "") -> Pod:
    return SCENE.running(0, deleting=True, disruption=disruption)


ROWS = {
    "exit code 1": (said(1, "ValueError: boom"), Action.RETRY),
    "permanent exit code": (said(42, "bad data"), Action.FAIL),
    "permanent exit code, but it lost a peer": (said(42, "Connection reset by peer"), Action.RETRY),
    "an init container failed": (SCENE.failed(0, Terminated(7, "Error", init="fetch")), Action.RETRY),
    "permanent exit code of an init container": (SCENE.failed(0, Terminated(42, "Error", init="fetch")), Action.FAIL),
    "SIGKILL": (said(137), Action.RETRY),
    "SIGSEGV": (said(139), Action.RETRY),
    "SIGABRT": (said(134), Action.RETRY),
    "SIGTERM of its own": (said(143), Action.RETRY),
    "killed with its agent": (ended(137), Action.RETRY),
    "out of memory": (ended(137, "OOMKilled"), Action.RETRY),
    "hung": (said(exits.HUNG, "no step for 60s", tail="Connection closed by peer"), Action.RETRY),
    "missing peers": (said(exits.PEER_MISSING), Action.RETRY),
    "peer failed, nobody knows which": (said(exits.PEER_FAILED), Action.RETRY),
    "coordinator lost": (said(exits.COORDINATOR_LOST), Action.RETRY),
    "agent error": (said(exits.AGENT_ERROR), Action.RETRY),
    "server ended": (said(exits.SERVER_ENDED), Action.RETRY),
    "command not found": (said(exits.COMMAND_NOT_FOUND), Action.FAIL),
    "command not executable": (said(exits.COMMAND_NOT_EXECUTABLE), Action.FAIL),
    "bad environment": (said(exits.BAD_ENVIRONMENT), Action.FAIL),
    "a Python too old for the agent": (ended(exits.BAD_ENVIRONMENT, message="python3 is 3.9.18"), Action.FAIL),
    "no python3 in the image": (
        ended(128, "StartError", 'exec: "python3": executable file not found in $PATH'),
        Action.FAIL,
    ),
    "wrong architecture": (ended(1, "ContainerCannotRun", "exec format error"), Action.FAIL),
    "a device that was not ready": (ended(128, "StartError", "nvidia-container-cli: initialization"), Action.RETRY),
    "what the pocket cannot do": (pod("PocketUnsupported", "probes are not run"), Action.FAIL),
    "deadline of the template": (pod("DeadlineExceeded"), Action.FAIL),
    "more disk than its limit": (pod("Evicted", "ephemeral local storage usage exceeds the total limit"), Action.RETRY),
    "pressure on the node": (pod("Evicted", "low on memory", "TerminationByKubelet"), Action.DISRUPTION),
    "shutdown of the node": (pod("Terminated", "imminent node shutdown", "TerminationByKubelet"), Action.DISRUPTION),
    "shutdown, older kubelets": (pod("NodeShutdown"), Action.DISRUPTION),
    "spot instance taken back": (going("DeletionByTaintManager"), Action.DISRUPTION),
    "node lost": (pod("NodeLost"), Action.DISRUPTION),
    "node gone": (pod("", "", "DeletionByPodGC"), Action.DISRUPTION),
    "node came back without it": (ended(137, "ContainerStatusUnknown"), Action.DISRUPTION),
    "node rebooted, and containerd lost it": (ended(255, "Unknown"), Action.DISRUPTION),
    "exit code 255 of its own": (said(255), Action.RETRY),
    "drained": (going("EvictionByEvictionAPI"), Action.DISRUPTION),
    "preempted": (going("PreemptionByScheduler"), Action.DISRUPTION),
    "preempted by a kubelet": (pod("Preempting"), Action.DISRUPTION),
    "a reason of tomorrow's Kubernetes": (going("SomethingNew"), Action.DISRUPTION),
    "deleted": (going(), Action.DISRUPTION),
    "deleted, and ended by it": (SCENE.failed(0, Terminated(143, "Error"), deleting=True), Action.DISRUPTION),
    "no GPU left on the node": (pod("OutOfnvidia.com/gpu"), Action.DISRUPTION),
    "device plugin": (pod("UnexpectedAdmissionError"), Action.DISRUPTION),
    "node changed its labels": (pod("NodeAffinity"), Action.DISRUPTION),
}


@pytest.mark.parametrize(("failed", "expected"), ROWS.values(), ids=ROWS.keys())
def test_what_follows(failed: Pod, expected: Action) -> None:
    cause = root_cause([failed])
    assert cause is not None
    assert action(cause, [42]) is expected


def test_a_pod_that_nobody_saw_go_was_deleted() -> None:
    cause = root_cause([], ["digits-worker-1"])
    assert cause is not None
    assert action(cause, [42]) is Action.DISRUPTION
