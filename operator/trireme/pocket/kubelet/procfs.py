"""Process trees and their memory, from /proc (Linux). A process that ends while it is looked at counts as gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_KIB = 1024
_CHILDREN_ARE_LISTED = (_PROC / "thread-self" / "children").exists()
"""Most kernels list a thread's children (CONFIG_PROC_CHILDREN); for the others all processes are looked through."""


def children(pid: int) -> list[int]:
    """Direct children, of whichever thread, zombies included."""
    if not _CHILDREN_ARE_LISTED:
        return [child for child, parent in _parents() if parent == pid]
    try:
        tasks = [path / "children" for path in (_PROC / str(pid) / "task").iterdir()]
        return [int(child) for path in tasks for child in path.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _parents() -> Iterator[tuple[int, int]]:
    """Every process with its parent."""
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()  # the name before it may hold anything
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield int(path.parent.name), int(fields[1])


def descendants(pid: int) -> list[int]:
    """All of the tree below a process, parents before their children."""
    found: list[int] = []
    level = children(pid)
    while level:
        found += level
        level = [grandchild for child in level for grandchild in children(child)]
    return found


def memory(pid: int, limit: int) -> int:
    """Bytes of anonymous and shared memory that the tree below a process holds, nearly as a memory cgroup counts them.

    Resident pages are summed first, which is cheap but counts a page once for each process that shares it; only when
    that sum exceeds the limit is each page divided among its sharers (proportional set size).
    """
    tree = descendants(pid)
    resident = sum(_fields(child, "status", ("RssAnon:", "RssShmem:")) for child in tree)
    if resident <= limit:
        return resident
    return sum(_fields(child, "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")) for child in tree)


def with_environment(entry: str, *, prefix: bool = False) -> Iterator[int]:
    """Processes of this user that were started with `entry` (`NAME=value`), or what begins with it, in their
    environment."""
    wanted = entry.encode()
    for path in _PROC.iterdir():
        if path.name.isdecimal() and int(path.name) != os.getpid():
            try:
                environment = (path / "environ").read_bytes()
            except OSError:  # another user's, or gone
                continue
            entries = environment.split(b"\0")
            if any(each.startswith(wanted) for each in entries) if prefix else wanted in entries:
                yield int(path.name)


def _fields(pid: int, file: str, names: tuple[str, ...]) -> int:
    try:
        lines = (_PROC / str(pid) / file).read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * _KIB for line in lines if line.startswith(names))
