"""What Linux alone knows: two switches of prctl(2), so that no process outlives its agent, processes in /proc, and who
was killed for memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Sequence

OOM_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Of the container's cgroup, version 2 and 1."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of this process, so that it finds them. Raises OSError."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """For a new child, before exec: the kernel kills it when the agent dies. `parent` is the agent's process id."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)  # the agent died before the switch was set


def children() -> list[int]:
    """Process ids of this process's children, adopted ones included."""
    me = os.getpid()
    return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal() and _parent(entry) == me]


def tree(root: int) -> list[int]:
    """Process ids of a process and of all its descendants, the nearest first; those that ended meanwhile are not among
    them."""
    below: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        parent = _parent(entry) if entry.isdecimal() else None
        if parent is not None:
            below.setdefault(parent, []).append(int(entry))
    found = [root]
    for pid in found:
        found += below.get(pid, ())
    return found


def is_stopped(pid: int) -> bool:
    """By a signal or a debugger."""
    return _status(pid).get("State", "")[:1].upper() == "T"


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal."""
    return bool(int(_status(pid).get("SigCgt", "0"), 16) >> (number - 1) & 1)


def _status(pid: int) -> dict[str, str]:
    """proc_pid_status(5); empty when the process has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}
    except OSError:
        return {}


def oom_kills(counters: Sequence[str] = OOM_COUNTERS) -> int:
    """How many processes of this container the kernel has killed for memory; 0 where it does not say."""
    for path in counters:
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            counts = dict(line.split() for line in file)
            return int(counts.get("oom_kill", 0))
    return 0


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return None  # it ended meanwhile


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} failed")
