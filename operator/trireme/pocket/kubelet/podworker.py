"""One pod on its node, from admission to the last trace of it. Only its worker writes a pod's status."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from trireme.cluster.errors import ApiError
from trireme.cluster.resources import PODS
from trireme.pocket.apiserver.logs import LogOptions
from trireme.pocket.kubelet import admission, logs, podstatus
from trireme.pocket.kubelet.container import BackOff, ContainerRunner, to_text
from trireme.pocket.kubelet.context import PodContext
from trireme.pocket.kubelet.environment import ConfigurationError, Object
from trireme.pocket.kubelet.events import Recorder
from trireme.pocket.kubelet.podstatus import PodRecord, Terminated, Waiting
from trireme.pocket.kubelet.reporter import Reporter

DEFAULT_GRACE_SECONDS = 30.0
_VOLUME_RETRY_SECONDS = 1.0
_DELETE_RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """Why the kubelet itself fails a pod: reason and message of its status."""

    reason: str
    message: str


class PodWorker:
    def __init__(self, context: PodContext, events: Recorder, back_off: BackOff) -> None:
        self.pod = context.pod
        self._context = context
        self._events = events
        self._reporter = Reporter(context.client, self.pod)
        self._failed: Waiting | None = None
        self._started_at, self._began = to_text(time.time()), time.monotonic()
        self._limit: int | None = None
        self._stopping = asyncio.Event()
        self._over = asyncio.Event()
        self._deleted = asyncio.Event()
        self._gone = False
        self._timers: list[asyncio.TimerHandle] = []
        spec = self.pod["spec"]
        self._policy = spec.get("restartPolicy") or "Always"

        def runner(container: Object, policy: str) -> ContainerRunner:
            return ContainerRunner(
                container, policy, context.folder, self.uid, back_off, context.launch, self._publish, self._tell
            )

        self._init = [
            runner(c, "Always" if _is_sidecar(c) else "OnFailure" if self._policy != "Never" else "Never")
            for c in spec.get("initContainers") or []
        ]
        self._main = [runner(c, self._policy) for c in spec["containers"]]
        self._sidecars = frozenset(c["name"] for c in spec.get("initContainers") or [] if _is_sidecar(c))

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def name(self) -> str:
        return f"{self.pod['metadata']['namespace']}/{self.pod['metadata']['name']}"

    @property
    def over(self) -> bool:
        """The pod has run and holds nothing of the node any more."""
        return self._over.is_set()

    async def wait_until_over(self) -> None:
        await self._over.wait()

    async def live(self, verdict: Verdict | None) -> None:
        """Runs the pod, unless a verdict fails it at once; returns when it was deleted and nothing of it is left."""
        report = asyncio.create_task(self._reporter.run())
        try:
            try:
                await self._run(verdict)
            finally:
                self._over.set()
                self._kill()
                self._cancel_timers()
            await self._reporter.flush()  # the end of the containers is told first, as a kubelet does
            self._publish()
            await self._deleted.wait()
            await self._reporter.flush()
            await self._delete()
        finally:
            self._cancel_timers()
            report.cancel()
            await asyncio.gather(report, return_exceptions=True)
            self._context.addresses.release(self.uid)
            self._events.forget(self.uid)
            self._context.folder.remove()

    def limit(self, seconds: int | None) -> None:
        """The pod's active deadline, counted from its start: it may come, or be brought forward, while the pod runs."""
        if seconds is None or seconds == self._limit or self.over:
            return
        self._limit = seconds
        why = Verdict("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        left = max(0.0, self._began + seconds - time.monotonic())
        self._timers.append(asyncio.get_running_loop().call_later(left, self.fail, why, self._grace))

    def terminate(self, grace: float) -> None:
        """SIGTERM now, SIGKILL after `grace` seconds; a later call can only bring that forward."""
        self._stopping.set()
        if grace <= 0:
            self._kill()
            return
        for runner in self._all():
            runner.stop()
        self._timers.append(asyncio.get_running_loop().call_later(grace, self._kill))

    def delete(self, grace: float) -> None:
        """The API server wants the pod gone."""
        self._deleted.set()
        self.terminate(grace)

    def removed(self) -> None:
        """The pod is no longer in the API: what runs of it has no right to."""
        self._gone = True
        self.mute()
        self.delete(0)

    def fail(self, verdict: Verdict, grace: float) -> None:
        """Stops the pod and gives it the verdict, which is told when nothing of it runs any more."""
        self._failed = Waiting(verdict.reason, verdict.message)
        self.terminate(grace)

    def mute(self) -> None:
        """Nothing more is reported."""
        self._reporter.close()

    def signal(self, number: int, container: str | None = None, *, every_process: bool = False) -> None:
        """Injects a fault: a signal to the main process, or to every process, of one or of all containers."""
        for runner in self._all():
            if container in (None, runner.record.name):
                (runner.signal_all if every_process else runner.signal)(number)

    async def read_log(self, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Raises LookupError for a container that has no such log."""
        runner = next((r for r in self._all() if r.record.name == container), None)
        if runner is None:
            raise LookupError(f'container "{container}" in pod "{self.pod["metadata"]["name"]}" is not available')
        record = runner.record
        name = self.pod["metadata"]["name"]
        if options.previous and not record.restarts:
            raise LookupError(f'previous terminated container "{container}" in pod "{name}" not found')
        if isinstance(record.state, Waiting) and record.last is None:
            raise LookupError(f'container "{container}" in pod "{name}" is waiting to start: {record.state.reason}')
        yield b""  # opens the stream to a container that says nothing yet
        ended: Callable[[], bool] = (lambda: True) if options.previous else (lambda: runner.ended)
        async for chunk in logs.read(runner.log(previous=options.previous), options, time.time(), ended):
            yield chunk

    async def _run(self, verdict: Verdict | None) -> None:
        if verdict is not None:
            self.fail(verdict, grace=0)
            return
        if unenforced := admission.not_enforced(self.pod):
            self._tell("Warning", "NotEnforced", f"the pocket cluster does not enforce: {', '.join(unenforced)}")
        for runner in self._main if self._init else []:
            runner.wait_for_init()
        self._publish()
        self.limit(self.pod["spec"].get("activeDeadlineSeconds"))
        if not await self._make_volumes():
            return
        async with asyncio.TaskGroup() as tasks:
            if await self._initialize(tasks):
                await asyncio.gather(*(runner.run() for runner in self._main))
            self.terminate(self._grace)  # of the sidecars

    async def _make_volumes(self) -> bool:
        """False when the pod was stopped before they could be made."""
        while not self._stopping.is_set():
            try:
                await self._context.make_volumes()
                return True
            except (ConfigurationError, OSError) as error:
                self._tell("Warning", "FailedMount", f"MountVolume.SetUp failed: {error}")
            try:
                await asyncio.wait_for(self._stopping.wait(), _VOLUME_RETRY_SECONDS)
            except TimeoutError:
                continue
        return False

    async def _initialize(self, tasks: asyncio.TaskGroup) -> bool:
        """Runs the init containers one after the other and leaves the sidecars running; true when all went well."""
        for runner in self._init:
            if runner.record.name in self._sidecars:
                tasks.create_task(runner.run())
                await _first(runner.running, self._stopping)
            else:
                await runner.run()
                state = runner.record.state
                if not isinstance(state, Terminated) or state.exit_code:
                    return False
            if self._stopping.is_set():
                return False
        return True

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def _kill(self) -> None:
        for runner in self._all():
            runner.kill()

    def _all(self) -> list[ContainerRunner]:
        return self._init + self._main

    @property
    def _grace(self) -> float:
        return float(self.pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))

    def _record(self) -> PodRecord:
        return PodRecord(
            init=tuple(runner.record for runner in self._init),
            main=tuple(runner.record for runner in self._main),
            sidecars=self._sidecars,
            started_at=self._started_at,
            pod_ip=self._context.facts.pod_ip,
            host_ip=self._context.facts.host_ip,
            failed=self._failed,
            over=self.over,
        )

    def _publish(self) -> None:
        now = to_text(time.time())
        self._reporter.publish(podstatus.status(self._record(), self._policy, now, before=self._reporter.last))

    def _tell(self, kind: str, reason: str, message: str) -> None:
        _log.info("%s: %s: %s", self.name, reason, message)
        self._events.record(self.pod, kind, reason, message)

    async def _delete(self) -> None:
        """Takes the pod out of the API, now that nothing of it runs."""
        metadata = self.pod["metadata"]
        while not self._gone:
            try:
                await self._context.client.delete(
                    PODS, metadata["namespace"], metadata["name"], uid=self.uid, grace_seconds=0
                )
                return
            except ApiError as error:
                if error.not_found:
                    return
                _log.warning("%s: could not be removed: %s", self.name, error)
                await asyncio.sleep(_DELETE_RETRY_SECONDS)


def _is_sidecar(container: Object) -> bool:
    return bool(container.get("restartPolicy") == "Always")


async def _first(*events: asyncio.Event) -> None:
    """Returns when any of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
