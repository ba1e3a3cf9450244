"""Misfortunes inside of a pod: its ranks as processes of this machine, and its connections to another pod.

The kubelet itself can signal a pod's main process, and be lost. What is here looks past it, through /proc, at what runs
below the agent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from trireme.pocket.kubelet import procfs
from trireme.pocket.kubelet.process import MARK

_PIDFD_GETFD = 438
"""pidfd_getfd(2), Linux 5.6: the same number on every architecture. It needs the right to trace the process."""
_ESTABLISHED = "01"
_TABLES = ("tcp", "tcp6")
Ends = tuple[str, str]
"""Local and remote address and port of a connection, as /proc/net/tcp spells them."""


def rank(pod_uid: str, number: int) -> int:
    """Process id of a rank: the leader of its process group. Raises LookupError when it does not run."""
    own = f"RANK={number}".encode()
    for pid in processes(pod_uid):
        try:
            if own in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and os.getpgid(pid) == pid:
                return pid
        except OSError:
            continue
    raise LookupError(f"rank {number} does not run in the pod with uid {pod_uid}")


def signal_rank(pod_uid: str, number: int, signum: signal.Signals) -> None:
    """To the process of the rank alone. Raises LookupError."""
    os.kill(rank(pod_uid, number), signum)


def processes(pod_uid: str) -> list[int]:
    """Of all containers of a pod, in any start of theirs."""
    return list(procfs.with_environment(f"{MARK}={pod_uid}/", prefix=True))


def cut(one: str, other: str) -> int:
    """Breaks every connection between two pods, by their UIDs, in the middle; returns how many.

    Both ends read an end of file or a reset, as after a middlebox's. New connections can be made at once: to keep the
    pods apart, call it again and again. Raises OSError where processes may not be traced.
    """
    known = _connections()
    theirs = {ends for _, _, ends in _sockets(other, known)}
    broken = 0
    for pid, descriptor, (local, remote) in _sockets(one, known):
        if (remote, local) in theirs:
            _shut(pid, descriptor)
            broken += 1
    return broken


def _connections() -> dict[str, Ends]:
    """Established TCP connections by the inode of their socket."""
    found = {}
    for table in _TABLES:
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _ESTABLISHED:
                found[fields[9]] = fields[1], fields[2]
    return found


def _sockets(pod_uid: str, known: dict[str, Ends]) -> Iterator[tuple[int, int, Ends]]:
    """Process id, descriptor and ends of each of the pod's connections."""
    for pid in processes(pod_uid):
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:[") and (ends := known.get(target[8:-1])):
                    yield pid, int(name), ends
        except FileNotFoundError:  # it, or its descriptor, is gone meanwhile
            continue


def _shut(pid: int, descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        copy = libc.syscall(_PIDFD_GETFD, process, descriptor, 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), f"process {pid} may not be traced: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(process)
    with socket.socket(fileno=copy) as connection:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other end was faster
            return
