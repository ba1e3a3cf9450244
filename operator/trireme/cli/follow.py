"""Follows the logs of a job's pods while pods come and go and connections break."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from trireme.cli.lines import START, Line, Mark, Source, after
from trireme.cli.mirror import Mirror
from trireme.cluster import backoff, podview
from trireme.cluster.errors import ApiError
from trireme.lifecycle.pod import Pod, PodPhase

log = logging.getLogger(__name__)

FINISHED = ("Succeeded", "Failed")
WINDOW_SECONDS = 0.1
"""Lines of different pods that arrive within this time are put in the order in which they were written."""
BUFFERED_LINES = 10_000
"""More lines than this wait for a slow terminal on the server's side."""


def started(pod: Pod) -> bool:
    """Whether it has, or had, a log."""
    return pod.running or pod.terminated is not None or pod.phase is PodPhase.RUNNING


class Follower:
    """Runs until the job has finished, or is gone, and every log has come to its end.

    `seen` says by pod name how far the logs were shown already; `waiting` is told why there is nothing yet.
    """

    def __init__(
        self,
        source: Source,
        jobs: Mirror,
        pods: Mirror,
        changed: asyncio.Event,
        *,
        seen: dict[str, Mark],
        show: Callable[[Line], None],
        waiting: Callable[[str], None],
    ) -> None:
        self._source = source
        self._jobs = jobs
        self._pods = pods
        self._changed = changed
        self._seen = seen
        self._show = show
        self._waiting = waiting
        self._arrived: asyncio.Queue[Line] = asyncio.Queue(BUFFERED_LINES)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> dict[str, Any] | None:
        """Returns the job as it was last seen, None when it was deleted. Raises what `show` raises."""
        printer = asyncio.create_task(self._print())
        printer.add_done_callback(self._wake)
        try:
            while True:
                self._changed.clear()
                for task in (printer, *self._tasks.values()):
                    if task.done():
                        task.result()
                job = next(iter(self._jobs.objects()), None)
                self._start()
                busy = [task for task in self._tasks.values() if not task.done()]
                if not busy and (job is None or (job.get("status") or {}).get("phase") in FINISHED):
                    await self._all_shown(printer)
                    return job
                if not self._tasks and job is not None:
                    self._waiting((job.get("status") or {}).get("message") or "no operator has looked at the job yet")
                await self._changed.wait()
        finally:
            for task in (printer, *self._tasks.values()):
                task.cancel()

    def _start(self) -> None:
        for pod in self._present().values():
            if started(pod) and pod.uid not in self._tasks:
                task = self._tasks[pod.uid] = asyncio.create_task(self._follow(pod))
                task.add_done_callback(self._wake)

    def _wake(self, _: asyncio.Task[None]) -> None:
        self._changed.set()

    async def _all_shown(self, printer: asyncio.Task[None]) -> None:
        joining = asyncio.create_task(self._arrived.join())
        await asyncio.wait((joining, printer), return_when=asyncio.FIRST_COMPLETED)
        joining.cancel()
        if printer.done():
            printer.result()

    def _present(self) -> dict[str, Pod]:
        """Pods by UID."""
        return {pod.uid: pod for pod in map(podview.of_object, self._pods.objects())}

    async def _follow(self, pod: Pod) -> None:
        """To the end of the log; a connection that breaks before is made anew, and no line is shown twice."""
        mark = self._seen.get(pod.name, START)
        failures = 0
        while True:
            over = not self._writes(pod.uid)
            try:
                async with aclosing(self._source.read(pod.name, follow=True, since_time=mark.stamp or None)) as lines:
                    async for line in after(mark, lines):
                        await self._arrived.put(line)
                        mark, failures = mark.moved(line), 0
            except ApiError as error:
                if error.not_found or error.status == 400:  # it is gone, or its container left no log
                    return
                log.debug("log broke off pod=%s error=%s", pod.name, error)
                over = False
            if over:
                return
            failures += 1
            await asyncio.sleep(backoff.delay(failures))
            if pod.uid not in self._present():
                return

    def _writes(self, uid: str) -> bool:
        """Whether more lines may come."""
        pod = self._present().get(uid)
        return pod is not None and pod.terminated is None and pod.phase in (PodPhase.PENDING, PodPhase.RUNNING)

    async def _print(self) -> None:
        while True:
            batch = [await self._arrived.get()]
            await asyncio.sleep(WINDOW_SECONDS)
            while not self._arrived.empty():
                batch.append(self._arrived.get_nowait())
            for line in sorted(batch, key=lambda line: line.time):
                self._show(line)
                self._arrived.task_done()
