"""The ranks of this pod, and its shard of a parameter server, as processes: ended together, none left behind.

Each one leads a session and process group of its own. The agent is the reaper of all descendants, as process 1 of its
container anyway, elsewhere by prctl; what a rank has left behind when it ends is found there and killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trireme.contract import exits

from trireme_worker import linux
from trireme_worker.output import Output, Pipe, Tail

REAP_SECONDS = 2.0
"""For killed processes to be gone; one that is stuck in the kernel is left to it."""

Environment = Mapping[str, str]


class CannotStart(Exception):
    """The command cannot be run; `code` is the exit code a shell would give."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def check(command: Sequence[str]) -> None:
    """Raises CannotStart before any peer is kept waiting."""
    name = command[0]
    if shutil.which(name) is None:
        if os.path.sep in name and os.path.exists(name):
            raise CannotStart(exits.COMMAND_NOT_EXECUTABLE, f"the command {name!r} is not an executable file")
        raise CannotStart(exits.COMMAND_NOT_FOUND, f"the command {name!r} does not exist in the image")


@dataclass(frozen=True)
class _Process:
    label: str
    popen: subprocess.Popen[bytes]
    tail: Tail
    pipes: tuple[Pipe, Pipe]


class Processes:
    """`ended(label, exit code, tail)` is called in the loop, once a process; its label stands before its lines."""

    def __init__(self, output: Output, ended: Callable[[str, int, Tail], None]) -> None:
        self._output = output
        self._ended = ended
        self._running: dict[int, _Process] = {}
        self._finished: list[_Process] = []
        self._all_gone = asyncio.Event()
        linux.adopt_orphans()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def start(self, command: Sequence[str], environments: Mapping[str, Environment]) -> None:
        """One process for each label. Raises CannotStart; then none is left running."""
        self._all_gone.clear()
        try:
            for label, environment in environments.items():
                process = self._start(label, command, environment)
                self._running[process.popen.pid] = process
        except OSError as error:
            self.signal(signal.SIGKILL)
            missing = isinstance(error, FileNotFoundError)
            code = exits.COMMAND_NOT_FOUND if missing else exits.COMMAND_NOT_EXECUTABLE
            raise CannotStart(code, f"the command {command[0]!r} cannot be run: {error.strerror}") from error

    def signal(self, number: int) -> None:
        """To every process and what it has started in its group."""
        for pid in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

    def running(self) -> dict[str, tuple[int, Tail]]:
        """Process id and output, by label."""
        return {process.label: (pid, process.tail) for pid, process in self._running.items()}

    async def stop(self, grace_seconds: float) -> None:
        """Time for signalled ranks to end, then SIGKILL for whatever is left below this process, wherever it hides.

        Nothing is told of any of them from then on.
        """
        if self._running:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), grace_seconds)
        await self._sweep()
        for process in (*self._running.values(), *self._finished):
            for pipe in process.pipes:
                pipe.close()
        self._running.clear()
        self._finished.clear()

    def _start(self, label: str, command: Sequence[str], environment: Environment) -> _Process:
        agent = os.getpid()
        popen = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            preexec_fn=lambda: linux.die_with_parent(agent),
        )
        assert popen.stdout is not None
        assert popen.stderr is not None
        tail, prefix = Tail(), f"[{label}] ".encode()
        out = Pipe(popen.stdout, prefix, self._output.stdout, tail, is_error=False)
        err = Pipe(popen.stderr, prefix, self._output.stderr, tail, is_error=True)
        return _Process(label, popen, tail, (out, err))

    def _reap(self) -> None:
        """Ends of ranks are told; adopted ones are only buried."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            process = self._running.pop(pid, None)
            if process is not None:
                self._bury(process, os.waitstatus_to_exitcode(status))

    def _bury(self, process: _Process, returncode: int) -> None:
        process.popen.returncode = returncode
        for pipe in process.pipes:
            pipe.drain()
        self._finished.append(process)
        if not self._running:
            self._all_gone.set()
        self._ended(process.label, exits.from_returncode(returncode), process.tail)

    async def _sweep(self) -> None:
        """Kills every child until there is none: one that dies may leave others, which come to this process."""
        end = asyncio.get_running_loop().time() + REAP_SECONDS
        while (left := linux.children()) and asyncio.get_running_loop().time() < end:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
            self._reap()
