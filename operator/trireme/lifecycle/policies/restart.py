"""What follows from a root cause: another attempt that counts, the end, or another attempt that does not count.

The words are the kubelet's and the controllers' (core/v1 PodStatus.reason, ContainerStateTerminated.reason, reasons of
condition DisruptionTarget) and our own (contract.exits).
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from trireme.contract import exits
from trireme.lifecycle.rootcause import DISRUPTED, FORGOTTEN, POD_DELETED, Cause


class Action(Enum):
    RETRY = "Retry"
    """Tried again, and counted against `spec.restart.limit`."""
    FAIL = "Fail"
    """Trying again cannot help."""
    DISRUPTION = "Disruption"
    """Somebody needed the place, or it was lost: tried again and not counted."""


TAKEN_AWAY = frozenset({
    *DISRUPTED, *FORGOTTEN, POD_DELETED, exits.POD_REPLACED,
    "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting",
})  # fmt: skip
"""`Terminated`: by a node that shuts down."""
REJECTED = frozenset({
    "UnexpectedAdmissionError", "NodeAffinity", "NodeName", "NodePorts", "TopologyAffinityError", "InvalidNodeInfo",
    "OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage",
})  # fmt: skip
"""By a kubelet, of a pod that never ran there: a device that broke, or a race for the last place."""
REJECTED_PREFIX = "OutOf"
"""Before the name of any resource: `OutOfnvidia.com/gpu`."""
HOPELESS = frozenset(
    exits.describe(code).reason for code in range(256) if exits.describe(code).kind is exits.Kind.CONFIGURATION
) | {"DeadlineExceeded", exits.POD_UNSUPPORTED}
"""`DeadlineExceeded`: activeDeadlineSeconds of the pod template."""
NOT_STARTED = frozenset({"StartError", "ContainerCannotRun", "RunContainerError"})
NOT_IN_THE_IMAGE = ("executable file not found", "no such file or directory", "permission denied", "exec format error")


def action(cause: Cause, permanent: Collection[int] = ()) -> Action:
    """`permanent`: spec.restart.permanentExitCodes."""
    failure, reason = cause.failure, cause.failure.reason
    if cause.taken_away or reason in TAKEN_AWAY | REJECTED or reason.startswith(REJECTED_PREFIX):
        return Action.DISRUPTION
    if reason in HOPELESS or (reason in NOT_STARTED and any(each in failure.message for each in NOT_IN_THE_IMAGE)):
        return Action.FAIL
    if not cause.followed and failure.exit_code in permanent:
        return Action.FAIL
    return Action.RETRY
