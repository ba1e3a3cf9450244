"""Where the ranks of this pod are when the job makes no step: their Python stacks, asked for and read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Mapping, Sequence

from trireme.contract.wire import Stand

from trireme_worker import linux
from trireme_worker.output import Tail
from trireme_worker.stacks import SIGNAL

DUMP_SECONDS = 0.5
"""For the stacks to come through stderr."""
INNER_FRAMES = 4
"""Of a rank that waits, the innermost ones are the standard library's at most, and then its framework's."""
COMMUNICATION = ("torch/distributed/", "horovod/", "trireme_worker/comm/")
WHERE_MAX = 200
"""Characters."""

_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')


async def dump(running: Mapping[int, tuple[int, Tail]]) -> dict[int, Stand]:
    """Where each rank is, by rank; their stacks are in the log then. `running`: process id and output of each."""
    trees = {rank: linux.tree(pid) for rank, (pid, _) in running.items()}
    stopped = {rank for rank, tree in trees.items() if any(map(linux.is_stopped, tree))}
    before = {rank: tail.count for rank, (_, tail) in running.items()}
    for rank in trees.keys() - stopped:
        asked = next((pid for pid in trees[rank] if linux.catches(pid, SIGNAL)), None)
        if asked is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(asked, SIGNAL)
    await asyncio.sleep(DUMP_SECONDS)
    return {
        rank: Stand(stopped=True) if rank in stopped else stand(tail.since(before[rank]))
        for rank, (_, tail) in running.items()
    }


def stand(lines: Sequence[str]) -> Stand:
    """From faulthandler's text: the main thread's stack is the last one, the innermost frame its first."""
    stack: list[re.Match[str]] = []
    for line in lines:
        frame = _FRAME.fullmatch(line)
        if frame is not None:
            stack.append(frame)
        elif "(most recent call first)" in line:
            stack = []
    if not stack:
        return Stand()
    where = "{file}:{line} in {name}".format(**{**stack[0].groupdict(), "file": os.path.basename(stack[0]["file"])})
    waiting = any(part in frame["file"] for frame in stack[:INNER_FRAMES] for part in COMMUNICATION)
    return Stand(where=where[:WHERE_MAX], waiting=waiting)
