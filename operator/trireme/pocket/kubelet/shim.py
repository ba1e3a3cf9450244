"""One container's guardian: a small process between the kubelet and the container's main process (as in containerd).

It exists so that nothing survives: it adopts every orphan of the container (child subreaper), kills what is left when
the main process ends or when the kubelet's pipe closes, whatever ended the kubelet, and the main process dies with it.
It also keeps the log, so that a loud container costs the kubelet nothing. Standard library only; knows nothing of pods.

Standard input: one line, a `Launch` as JSON; after the first report commands, a line each: `main N` (signal the main
process), `all N` (signal every process), `kill`. Standard output: one line of JSON for the start, one for the end (see
`_report`).
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from trireme.pocket.kubelet import crilog, procfs

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MEMORY_CHECK_SECONDS = 0.5
_READ_BYTES = 64 * 1024


@dataclass(frozen=True)
class Launch:
    """What to run and where its output goes."""

    argv: list[str]
    env: dict[str, str]
    directory: str
    log: str
    memory_limit: int = 0
    """Bytes; 0 is no limit."""


class Shim:
    def __init__(self, launch: Launch, log: crilog.Writer) -> None:
        self._launch = launch
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._main = 0
        self._status: int | None = None
        self._oom = False
        self._commands = b""

    def run(self) -> None:
        """Returns when the container and everything that it started are gone."""
        wake, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._kill_all())
        outputs = {stream: os.pipe2(os.O_CLOEXEC) for stream in ("stdout", "stderr")}
        error = self._spawn(outputs["stdout"][1], outputs["stderr"][1])
        for stream, (reader, writer) in outputs.items():
            os.close(writer)
            self._selector.register(reader, selectors.EVENT_READ, stream)
        if error:
            _report(error=error)
            return
        _report(pid=self._main, at=time.time())
        self._selector.register(wake, selectors.EVENT_READ, "wake")
        self._selector.register(0, selectors.EVENT_READ, "commands")
        while self._status is None:
            self._turn(MEMORY_CHECK_SECONDS if self._launch.memory_limit else None)
            self._check_memory()
        finished = time.time()
        self._end()
        code = os.waitstatus_to_exitcode(self._status)
        _report(exit=128 - code if code < 0 else code, oom=self._oom, at=finished)

    def _spawn(self, out: int, err: int) -> str:
        """Forks and executes the main process in a session of its own; returns why that failed, or an empty string."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        self._main = os.fork()
        if self._main == 0:
            _become(self._launch, out, err, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            return pipe.read().decode(errors="replace")

    def _turn(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            if key.data == "wake":
                os.read(key.fd, _READ_BYTES)
            elif key.data == "commands":
                self._obey(os.read(key.fd, _READ_BYTES))
            else:
                self._pump(key.fd, key.data)
        self._reap()

    def _pump(self, fd: int, stream: str) -> None:
        data = os.read(fd, _READ_BYTES)
        self._log.write(stream, data, time.time_ns())
        if not data:
            self._selector.unregister(fd)
            os.close(fd)

    def _obey(self, data: bytes) -> None:
        if not data:  # the kubelet is gone
            self._selector.unregister(0)
            self._kill_all()
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            match line.split():
                case [b"main", number]:
                    _signal(self._main, int(number))
                case [b"all", number]:
                    for pid in procfs.descendants(os.getpid()):
                        _signal(pid, int(number))
                case [b"kill"]:
                    self._kill_all()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._main:
                self._status = status

    def _check_memory(self) -> None:
        limit = self._launch.memory_limit
        if limit and self._status is None and procfs.memory(os.getpid(), limit) > limit:
            self._oom = True
            self._kill_all()

    def _kill_all(self) -> None:
        for pid in procfs.descendants(os.getpid()):
            _signal(pid, signal.SIGKILL)

    def _end(self) -> None:
        """Kills what the main process left behind, as the end of a PID namespace does, and drains the output."""
        while procfs.children(os.getpid()):
            self._kill_all()
            self._turn(0.02)
        while any(key.data in ("stdout", "stderr") for key in self._selector.get_map().values()):
            self._turn(None)


def _become(launch: Launch, out: int, err: int, problem: int) -> NoReturn:
    try:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)  # what Python or our parent ignore would be inherited
        signal.set_wakeup_fd(-1)
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        where = f'chdir to "{launch.directory}"'
        os.chdir(launch.directory)
        where = f'exec "{launch.argv[0]}"'
        os.execvpe(launch.argv[0], launch.argv, launch.env)
    except OSError as error:
        os.write(problem, f"{where}: {error.strerror}".encode())
    finally:
        os._exit(128)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _report(**message: Any) -> None:
    """`{"pid", "at"}` or `{"error"}` at the start; `{"exit", "oom", "at"}` at the end. Times are Unix seconds."""
    try:
        os.write(1, json.dumps(message).encode() + b"\n")
    except BrokenPipeError:
        return  # the kubelet is gone; there is nobody to tell


def main() -> None:
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, _READ_BYTES)
        if not data:  # the kubelet is gone already
            return
        line += data
    launch = Launch(**json.loads(line))
    with crilog.Writer(launch.log) as log:
        Shim(launch, log).run()


if __name__ == "__main__":
    main()
