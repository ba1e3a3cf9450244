"""The kubelet's end of a shim: start a container's process, signal it, learn how it ended."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trireme
from trireme.pocket.kubelet import procfs
from trireme.pocket.kubelet.podstatus import SIGKILL_CODE
from trireme.pocket.kubelet.shim import Launch

MARK = "TRIREME_POCKET_CONTAINER"
"""Variable by which the processes of a container are found should its shim be killed; its value is unique."""

_SHIM = [sys.executable, "-S", "-P", "-m", "trireme.pocket.kubelet.shim"]
_SHIM_ENVIRONMENT = {"PYTHONPATH": str(Path(trireme.__file__).parents[1])}
_SWEEP_SECONDS = 0.02

_log = logging.getLogger(__name__)


class CannotStart(Exception):
    """The command cannot be executed; the message is the container's."""


@dataclass(frozen=True)
class Exit:
    code: int
    """128 + n when it died of signal n."""
    oom: bool
    """It exceeded its memory limit."""
    at: float
    """Unix time, seconds."""


class Process:
    """A started container."""

    def __init__(self, shim: asyncio.subprocess.Process, mark: str, pid: int, started_at: float) -> None:
        self.pid = pid
        """Of the main process."""
        self.started_at = started_at
        """Unix time, seconds."""
        self._shim = shim
        self._mark = mark
        self._end = asyncio.create_task(self._await_end())

    @classmethod
    async def start(cls, launch: Launch, mark: str) -> Process:
        """Raises CannotStart."""
        launch = dataclasses.replace(launch, env={**launch.env, MARK: mark})
        shim = await asyncio.create_subprocess_exec(
            *_SHIM, env=_SHIM_ENVIRONMENT, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        try:
            report = await _converse(shim, launch)
        except asyncio.CancelledError:
            shim.kill()
            await sweep(mark)
            raise
        if "error" in report:
            await shim.communicate()
            raise CannotStart(report["error"])
        return cls(shim, mark, report["pid"], report["at"])

    async def wait(self) -> Exit:
        """Returns when nothing of the container runs any more; may be awaited by several, and cancelled."""
        return await asyncio.shield(self._end)

    def signal(self, number: int) -> None:
        """To the main process only, as a container runtime does; without effect once it has ended."""
        self._command(f"main {number}")

    def signal_all(self, number: int) -> None:
        """To every process of the container."""
        self._command(f"all {number}")

    def kill(self) -> None:
        """SIGKILL to every process of the container."""
        self._command("kill")

    def _command(self, text: str) -> None:
        assert self._shim.stdin is not None
        if not self._end.done():
            self._shim.stdin.write(text.encode() + b"\n")

    async def _await_end(self) -> Exit:
        assert self._shim.stdout is not None
        line = await self._shim.stdout.readline()
        _, problem = await self._shim.communicate()
        if line:
            report = json.loads(line)
            return Exit(report["exit"], report["oom"], report["at"])
        _log.warning("container %s: its shim ended (%s) %s", self._mark, self._shim.returncode, problem.decode())
        await sweep(self._mark)
        return Exit(SIGKILL_CODE, oom=False, at=time.time())


async def _converse(shim: asyncio.subprocess.Process, launch: Launch) -> dict[str, Any]:
    """Hands over what to run and returns the shim's first report. Raises CannotStart."""
    assert shim.stdin is not None
    assert shim.stdout is not None
    shim.stdin.write(json.dumps(dataclasses.asdict(launch)).encode() + b"\n")
    line = await shim.stdout.readline()
    if not line:
        _, problem = await shim.communicate()
        raise CannotStart(f"the shim ended with code {shim.returncode}: {problem.decode()}")
    report: dict[str, Any] = json.loads(line)
    return report


async def sweep(mark: str) -> None:
    """Kills every process that carries the mark; returns when there is none."""
    while pids := list(procfs.with_environment(f"{MARK}={mark}")):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        await asyncio.sleep(_SWEEP_SECONDS)
