"""Exit codes and what they mean. The agent exits with them, the operator judges by them, the documentation lists them.

A rank's own code passes through the agent unchanged; a rank that dies of signal n gives 128 + n, as in a shell. The
agent's own verdicts take codes that programs hardly use.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum

SUCCESS = 0
COMMAND_NOT_EXECUTABLE = 126
COMMAND_NOT_FOUND = 127
ABORTED = 128 + signal.SIGABRT  # 134
KILLED = 128 + signal.SIGKILL  # 137
TERMINATED = 128 + signal.SIGTERM  # 143
PEER_FAILED = 200
PEER_MISSING = 201
COORDINATOR_LOST = 202
BAD_ENVIRONMENT = 203
AGENT_ERROR = 204
SERVER_ENDED = 205
HUNG = 206


class Kind(str, Enum):
    """Whose doing an exit was; policies choose by it, never by the number."""

    SUCCESS = "Success"
    ERROR = "Error"
    """The user's program said no."""
    SIGNAL = "Signal"
    """The program was ended from outside or crashed."""
    COLLATERAL = "Collateral"
    """The pod was well; it ended because another one did not. Never the root cause."""
    CONFIGURATION = "Configuration"
    """Trying again cannot help: the command or the environment is wrong."""
    INFRASTRUCTURE = "Infrastructure"
    """Not the program's fault: peers or the agent itself."""


@dataclass(frozen=True)
class Exit:
    kind: Kind
    reason: str
    """CamelCase, for `status.failure.reason`."""
    meaning: str
    """One clause, for people."""
    signal: str = ""
    """`SIGKILL`, when the process died of a signal."""


POD_SILENT = "PodSilent"
"""Reason of a failure that nobody reported: the pod was not heard of any more. Its exit code is COORDINATOR_LOST."""
POD_REPLACED = "PodReplaced"
"""Reason of a failure that nobody reported: another pod of the same name came while the job ran."""

OOM_KILLED = "OOMKilled"
"""Reason of a container, or of a process in it, that the kernel killed for its memory; the kubelet's word."""

POD_UNSUPPORTED = "PocketUnsupported"
"""Reason of a pod that the pocket's node turned away for what it cannot do."""

CONNECTION_ERRORS = (
    "HorovodInternalError",
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "DistNetworkError",
    "DistBackendError",
    "Socket closed",
    "ncclRemoteError",
    "ncclSystemError",
)
"""What the frameworks say when a peer is gone."""

_NAMED = {
    SUCCESS: Exit(Kind.SUCCESS, "Completed", "all ranks are done"),
    COMMAND_NOT_EXECUTABLE: Exit(Kind.CONFIGURATION, "CommandNotExecutable", "the command cannot be executed"),
    COMMAND_NOT_FOUND: Exit(Kind.CONFIGURATION, "CommandNotFound", "the command does not exist in the image"),
    PEER_FAILED: Exit(Kind.COLLATERAL, "PeerFailed", "stopped because another rank failed"),
    PEER_MISSING: Exit(Kind.INFRASTRUCTURE, "PeerMissing", "not all pods joined the job in time"),
    COORDINATOR_LOST: Exit(Kind.COLLATERAL, "CoordinatorLost", "the coordinator on worker-0 stopped answering"),
    BAD_ENVIRONMENT: Exit(Kind.CONFIGURATION, "BadEnvironment", "the agent's environment is incomplete or wrong"),
    SERVER_ENDED: Exit(Kind.ERROR, "ServerEnded", "the parameter server ended before the workers were done"),
    HUNG: Exit(Kind.ERROR, "Hung", "the job made no step for too long and this rank held it up"),
    AGENT_ERROR: Exit(Kind.INFRASTRUCTURE, "AgentError", "the agent itself failed: this is a bug of Trireme"),
}


def describe(code: int) -> Exit:
    """The meaning of a container's exit code, 0..255."""
    named = _NAMED.get(code)
    if named is not None:
        return named
    name = signal_name(code - 128)
    if name:
        return Exit(Kind.SIGNAL, "Signal", f"ended by {name}", name)
    return Exit(Kind.ERROR, "Error", f"the program exited with code {code}")


def from_returncode(returncode: int) -> int:
    """The exit code a shell would give for a `subprocess` return code (negative: killed by that signal)."""
    return 128 - returncode if returncode < 0 else returncode


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; an empty string when there is no such signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
