"""Puts the operator together: caches, queue, workers, poller. Who watches the TrainingJobs is plugged in (handlers)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

from trireme.cluster import backoff, podview
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.events import Recorder
from trireme.cluster.informer import Informer, Key
from trireme.cluster.queue import WorkQueue
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.cluster.throttle import Throttle
from trireme.contract import names
from trireme.contract.bundle import agent
from trireme.controller.effects import Effects
from trireme.controller.jobs import Job, Jobs, key_of
from trireme.controller.journal import Journal
from trireme.controller.launch import Launcher
from trireme.controller.metrics import Metrics
from trireme.controller.nodes import Nodes
from trireme.controller.progress import Poller
from trireme.controller.reconcile import Reconciler
from trireme.controller.settings import Settings
from trireme.lifecycle.pod import Pod

log = logging.getLogger(__name__)

EVENTS_PER_SECOND = 20.0
EVENTS_BURST = 100
"""Kubernetes Events, of all jobs together; what the API server can take beside the pods of a large launch."""
POD_SECONDS = 0.1
"""Events of a job's pods come in swarms; those of so long a time are looked at together."""
UNLISTED_SECONDS = 1.0
"""Until a job is looked for again whose namespace could not be listed yet."""
CRD_HINT = f"; is the CRD there, and does it serve {names.VERSION}? trireme crd | kubectl apply -f -"


class Controller:
    """Hears of jobs through `heard`, of pods through informers of its own, and reconciles what changed."""

    def __init__(self, client: Client, key: bytes, settings: Settings, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics
        self._settings = settings
        self._jobs = Jobs()
        self._queue: WorkQueue[Key] = WorkQueue(metrics.waited)
        self._listed: set[str | None] = set()
        """Namespaces of which pods and jobs were listed since this term began; in others nothing is done yet."""
        self._informers = {namespace: self._informer(namespace) for namespace in settings.namespaces or (None,)}
        self._poller = Poller(
            self._queue.add, seconds=settings.progress_seconds, concurrency=settings.progress_concurrency
        )
        launcher = Launcher(client, key, agent())
        self._events = Recorder(
            client.apart(Throttle(rate=EVENTS_PER_SECOND, burst=EVENTS_BURST, concurrency=1)),
            instance=socket.gethostname(),
        )
        self._journal = Journal(metrics, self._events)
        effects = Effects(client, self._jobs, self._queue, launcher, self._journal, settings.status_seconds)
        self._reconcile = Reconciler(self._jobs, self._pods, effects, self._poller, Nodes(client), key)
        metrics.watch_jobs(self._jobs.all, self._queue.__len__)

    def heard(self, kind: str | None, job: Job) -> None:
        """An event of a watch, or an object of a list (kind None)."""
        key = key_of(job)
        if self._jobs.drop(key, job["metadata"]["uid"]) if kind == "DELETED" else self._jobs.put(job):
            self._queue.add(key)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps the caches, and writes nothing. Entered once those of one namespace are complete: another may have
        gone, and our rights in it. Leaves nothing running."""
        await self.catch_up()
        async with self._poller, asyncio.TaskGroup() as group:
            tasks = [group.create_task(informer.run()) for informer in self._informers.values()]
            synced = [group.create_task(informer.synced.wait()) for informer in self._informers.values()]
            try:
                await asyncio.wait(synced, return_when=asyncio.FIRST_COMPLETED)
                yield
            finally:
                for task in (*tasks, *synced):
                    task.cancel()

    async def work(self) -> None:
        """Reconciles until cancelled, while `running`; may be called again afterwards.

        It begins with lists of all pods and jobs: others may have worked meanwhile, and a watch may have told nothing
        of it. What was interrupted goes on.
        """
        self._listed.clear()
        self._reconcile.forget()
        for informer in self._informers.values():
            informer.relist()
        with self._metrics.leading():
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.workers):
                    group.create_task(self._work())
                for namespace in self._informers:
                    group.create_task(self._oversee(namespace))
                group.create_task(self._poller.run())
                group.create_task(self._events.run())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            if self._listed.isdisjoint({key[0], None}):
                self._queue.done(key)
                self._queue.add_after(key, UNLISTED_SECONDS)
                continue
            with self._metrics.reconciling() as outcome:
                try:
                    await self._reconcile(key)
                except ApiError as error:
                    outcome("retry")
                    seconds = self._queue.retry(key, error.retry_after)
                    log.warning("retry job=%s/%s seconds=%.1f error=%s", *key, seconds, error)
                    self._journal.failed(self._jobs.get(key), error, seconds)
                except Exception:  # the outermost place: one job's bad luck with a bug of ours must not stop the others
                    outcome("bug")
                    log.exception("bug job=%s/%s seconds=%.1f", *key, self._queue.retry(key))
                else:
                    self._queue.succeeded(key)
                finally:
                    self._queue.done(key)

    async def catch_up(self) -> None:
        """Looks at all jobs, once the API server has answered for one namespace at least."""
        failures = 0
        while True:
            errors = [await self._list_jobs(namespace) for namespace in self._informers]
            if None in errors:
                return
            failures += 1
            asked = max(error.retry_after or 0.0 for error in errors if error is not None)
            await asyncio.sleep(backoff.delay(failures, asked=asked))

    async def _oversee(self, namespace: str | None) -> None:
        """Looks at a namespace's jobs once its pods are known, and again every few minutes: no watch is trusted for
        ever. None waits for another."""
        await self._informers[namespace].synced.wait()
        failures = 0
        while True:
            error = await self._list_jobs(namespace)
            if error is None:
                self._listed.add(namespace)
            failures = failures + 1 if error else 0
            pause = backoff.delay(failures, asked=error.retry_after) if error else self._settings.resync_seconds
            await asyncio.sleep(pause)

    async def _list_jobs(self, namespace: str | None) -> ApiError | None:
        """Those that went unnoticed are looked at, or forgotten. Returns why they could not be listed."""
        try:
            items, version = await self._client.list(TRAINING_JOBS, namespace)
        except ApiError as error:
            log.warning("cannot list TrainingJobs yet: %s%s", error, CRD_HINT if error.not_found else "")
            return error
        listed = {key_of(job) for job in items}
        for job in items:
            self._jobs.put(job)
            self._queue.add(key_of(job))
        for job in self._jobs.older_than(int(version)):
            key = key_of(job)
            if key not in listed and namespace in (None, key[0]):
                self._jobs.drop(key, job["metadata"]["uid"])
                self._queue.add(key)
        return None

    def _pods(self, namespace: str) -> Informer[Pod]:
        return self._informers.get(namespace) or self._informers[None]

    def _informer(self, namespace: str | None) -> Informer[Pod]:
        return Informer(
            self._client,
            PODS,
            decode=podview.decode,
            key=podview.job_key,
            changed=lambda key: self._queue.add_after(key, POD_SECONDS),
            namespace=namespace,
            label_selector=f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}",
            told=self._metrics.heard(PODS.plural),
        )
