"""One container of a pod, from its first start until it will not be started again."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from trireme.pocket.apiserver.logs import LogOptions
from trireme.pocket.kubelet import crilog, logs, podstatus
from trireme.pocket.kubelet.disk import PodFolder, read_limited
from trireme.pocket.kubelet.environment import ConfigurationError, Object
from trireme.pocket.kubelet.image import is_reference
from trireme.pocket.kubelet.podstatus import ContainerRecord, Running, State, Terminated, Waiting
from trireme.pocket.kubelet.process import CannotStart, Exit, Process
from trireme.pocket.kubelet.shim import Launch

TERMINATION_MESSAGE_MAX = 4096
"""Bytes (core/v1 Container.terminationMessagePath)."""
FALLBACK_LINES = 80
FALLBACK_MAX = 2048
"""Lines and bytes of the log that stand in for a missing message (core/v1 FallbackToLogsOnError)."""
_EPOCH = 0.0
_START_RETRY_SECONDS = 2.0

Prepare = Callable[[Object, int], Awaitable[Launch]]
"""Container and number of earlier starts to what shall run; raises ConfigurationError."""
Tell = Callable[[str, str, str], None]
"""Records an event: type, reason, message."""


@dataclass(frozen=True)
class BackOff:
    """Waits before restarts: none before the first, then doubling; forgotten after a container has run for long."""

    first: float = 10.0
    most: float = 300.0
    """Seconds, both the kubelet's."""

    def seconds(self, failures: int) -> float:
        return 0.0 if failures == 0 else min(self.first * 2 ** (failures - 1), self.most)

    def forgets(self, ran: float) -> bool:
        return ran > 2 * self.most


class ContainerRunner:
    """Starts, restarts and stops one container; every change of its record goes to `changed`."""

    def __init__(
        self,
        container: Object,
        restart_policy: str,
        folder: PodFolder,
        uid: str,
        back_off: BackOff,
        prepare: Prepare,
        changed: Callable[[], None],
        tell: Tell,
    ) -> None:
        self.record = ContainerRecord(container["name"], container.get("image", ""), Waiting(podstatus.CREATING))
        self.running = asyncio.Event()
        """Set at the first start."""
        self._container = container
        self._policy = restart_policy
        self._folder = folder
        self._uid = uid
        self._back_off = back_off
        self._prepare = prepare
        self._changed = changed
        self._tell = tell
        self._stopping = asyncio.Event()
        self._process: Process | None = None

    def wait_for_init(self) -> None:
        self._become(Waiting(podstatus.INITIALIZING))

    async def run(self) -> None:
        """Returns when the container has ended for good, or was stopped."""
        failures = 0
        while not self._stopping.is_set():
            process = await self._start()
            if process is not None:
                await self._until_end(process)
            ended = self.record.state
            if not isinstance(ended, Terminated) or not self._restarts(ended) or self._stopping.is_set():
                return
            if process is not None and self._back_off.forgets(time.time() - process.started_at):
                failures = 0
            await self._wait_for_restart(ended, self._back_off.seconds(failures))
            failures += 1

    def stop(self) -> None:
        """SIGTERM to the main process, and no restart."""
        if self._process is not None and not self._stopping.is_set():
            self._tell("Normal", "Killing", f"Stopping container {self.record.name}")
            self._process.signal(signal.SIGTERM)
        self._stopping.set()

    def kill(self) -> None:
        """SIGKILL to all its processes, and no restart."""
        self._stopping.set()
        if self._process is not None:
            self._process.kill()

    def signal(self, number: int) -> None:
        """A fault from outside: to the main process."""
        if self._process is not None:
            self._process.signal(number)

    def signal_all(self, number: int) -> None:
        """A fault from outside: to every process."""
        if self._process is not None:
            self._process.signal_all(number)

    def log(self, *, previous: bool = False) -> Path:
        return self._folder.log(self.record.name, self.record.restarts - previous)

    @property
    def ended(self) -> bool:
        """The current start is over."""
        return isinstance(self.record.state, Terminated) or (self.record.last is not None and self._process is None)

    async def _start(self) -> Process | None:
        """None when it was stopped before or could not be started; the record says so."""
        while not self._stopping.is_set():
            if not is_reference(self.record.image):
                why = f'Failed to apply default image tag "{self.record.image}": couldn\'t parse image name'
                self._become(Waiting("InvalidImageName", why))
                await self._stopping.wait()
                return None
            try:
                launch = await self._prepare(self._container, self.record.restarts)
                return await self._launch(launch)
            except ConfigurationError as error:
                await self._postpone("CreateContainerConfigError", error)
            except OSError as error:
                await self._postpone("CreateContainerError", error)
            except CannotStart as error:
                self._tell("Warning", "Failed", f"Error: {error}")
                self._become(self._terminated(podstatus.START_ERROR_CODE, podstatus.START_ERROR, str(error), _EPOCH))
                return None
        return None

    async def _postpone(self, reason: str, error: Exception) -> None:
        self._become(Waiting(reason, str(error)))
        self._tell("Warning", "Failed", f"Error: {error}")
        await self._pause(_START_RETRY_SECONDS)

    async def _launch(self, launch: Launch) -> Process:
        process = await Process.start(launch, self._mark)
        self._process = process
        self._become(Running(to_text(process.started_at)))
        self.running.set()
        self._tell("Normal", "Started", f"Started container {self.record.name}")
        if self._stopping.is_set():  # while it was being started
            process.kill()
        return process

    async def _until_end(self, process: Process) -> None:
        end = await process.wait()
        self._process = None
        reason = "OOMKilled" if end.oom else "Error" if end.code else "Completed"
        self._become(self._terminated(end.code, reason, await self._message(end), process.started_at, end.at))

    def _terminated(
        self, code: int, reason: str, message: str, started_at: float, finished_at: float | None = None
    ) -> Terminated:
        finished = time.time() if finished_at is None else finished_at
        return Terminated(code, reason, to_text(started_at), to_text(finished), message, container_id(self._mark))

    async def _message(self, end: Exit) -> str:
        file = self._folder.termination_log(self.record.name, self.record.restarts)
        text = read_limited(file, TERMINATION_MESSAGE_MAX)
        if text or not end.code or self._container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return text
        tail = logs.read(self.log(), LogOptions(tail_lines=FALLBACK_LINES), time.time(), ended=lambda: True)
        data = b"".join([chunk async for chunk in tail])
        return data[-FALLBACK_MAX:].decode(errors="replace")

    def _restarts(self, ended: Terminated) -> bool:
        return self._policy == "Always" or (self._policy == "OnFailure" and ended.exit_code != 0)

    async def _wait_for_restart(self, ended: Terminated, seconds: float) -> None:
        self.record = dataclasses.replace(self.record, last=ended)
        if seconds:
            why = f"back-off {seconds:g}s restarting failed container={self.record.name} pod={self._uid}"
            self._become(Waiting(podstatus.CRASH_LOOP, why))
            self._tell("Warning", "BackOff", f"Back-off restarting failed container {self.record.name}")
            await self._pause(seconds)
        if not self._stopping.is_set():
            self.record = dataclasses.replace(self.record, restarts=self.record.restarts + 1)
            self._folder.forget(self.record.name, self.record.restarts - 2)  # only the previous log can be asked for

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _become(self, state: State) -> None:
        started = not isinstance(state, Waiting)
        current = container_id(self._mark) if started else self.record.container_id
        self.record = dataclasses.replace(self.record, state=state, container_id=current)
        self._changed()

    @property
    def _mark(self) -> str:
        return f"{self._uid}/{self.record.name}/{self.record.restarts}"


def container_id(mark: str) -> str:
    return f"pocket://{mark}"


def to_text(at: float) -> str:
    """metav1.Time of Unix seconds: whole seconds, UTC."""
    return crilog.timestamp(int(at) * 1_000_000_000)[:19] + "Z"
