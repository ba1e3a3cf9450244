"""The node agent: registers the node, gives each pod that is bound to it a worker, and serves their logs."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from fractions import Fraction
from pathlib import Path

from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.informer import Informer, Key
from trireme.cluster.resources import NODES, PODS
from trireme.pocket.apiserver.logs import LogOptions
from trireme.pocket.apiserver.quantity import parse_quantity
from trireme.pocket.fit import NOT_ENFORCED, OVER, requests, usage
from trireme.pocket.kubelet import admission, disk, node
from trireme.pocket.kubelet.addresses import Addresses, Block
from trireme.pocket.kubelet.container import BackOff, to_text
from trireme.pocket.kubelet.context import PodContext, host_name
from trireme.pocket.kubelet.disk import PodFolder
from trireme.pocket.kubelet.environment import Object, PodFacts
from trireme.pocket.kubelet.events import Recorder
from trireme.pocket.kubelet.podworker import PodWorker, Verdict
from trireme.pocket.whole import Whole, decode

HEARTBEAT_SECONDS = 10.0
STOP_SECONDS = 2.0
"""Between SIGTERM and SIGKILL for the pods of a node that shuts down."""
_STRATEGIC = "application/strategic-merge-patch+json"

_log = logging.getLogger(__name__)


class Kubelet:
    """One node. `start` registers it; `stop` ends every process and leaves no file."""

    def __init__(
        self,
        client: Client,
        folder: Path,
        *,
        name: str = "pocket",
        gpus: int = 0,
        directory: Path | None = None,
        back_off: BackOff | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        """`folder` is for the pods' files, `directory` where containers without a workingDir run (default: here).
        Nodes of one cluster share the `addresses` of the first: so their pods find each other."""
        self.name = name
        self._client = client
        self._folder = folder
        self._directory = directory or Path.cwd()
        self._back_off = back_off or BackOff()
        self._capacity = node.capacity(gpus)
        self._workers: dict[str, PodWorker] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._lost = False
        self._shared = addresses
        self._grace = STOP_SECONDS
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Returns when the node is registered and its pods are being watched. Raises NoAddress, ApiError."""
        async with AsyncExitStack() as stack:
            self.addresses = self._shared or self._claim_addresses(stack)
            stack.callback(shutil.rmtree, disk.claims(self._folder), ignore_errors=True)
            self._events = Recorder(self._client, "kubelet", self.name)
            stack.push_async_callback(self._events.close)
            self._ready_since = to_text(time.time())
            await self._register()
            self._pods: Informer[Whole] = Informer(
                self._client,
                PODS,
                decode=decode,
                key=lambda record: ("", record.uid),  # a successor of the same name is another pod
                changed=self._look_at,
                field_selector=f"spec.nodeName={self.name}",
            )
            stack.push_async_callback(self._end_pods)
            self._tasks = [asyncio.create_task(self._pods.run()), asyncio.create_task(self._beat())]
            stack.push_async_callback(_cancel, self._tasks)
            await self._pods.synced.wait()
            self._stack = stack.pop_all()

    async def serve(self) -> None:
        """Between `start` and `stop`; raises what goes wrong in the kubelet itself."""
        await asyncio.gather(*self._tasks)

    async def stop(self, grace: float = STOP_SECONDS) -> None:
        """SIGTERM to every pod, SIGKILL after `grace` seconds; returns when no process is left."""
        self._grace = grace
        await self._stack.aclose()

    async def lose(self) -> None:
        """Injects a fault: the node is gone at once, with all its processes and without a word to the API server."""
        self._lost = True
        await _cancel(self._tasks)
        for worker in self._workers.values():
            worker.mute()
        await self.stop(grace=0)

    def signal(
        self, namespace: str, pod: str, number: int, container: str | None = None, *, every_process: bool = False
    ) -> None:
        """Injects a fault: a signal to the main process of the pod's containers, or to every process.

        Raises LookupError when the pod is not here.
        """
        self._worker(namespace, pod).signal(number, container, every_process=every_process)

    async def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """`LogSource` of the pocket's API server. Raises LookupError."""
        async for chunk in self._worker(namespace, pod).read_log(container, options):
            yield chunk

    def _claim_addresses(self, stack: AsyncExitStack) -> Addresses:
        """Raises NoAddress."""
        block = Block.claim()
        stack.callback(block.close)
        return Addresses(block.base)

    async def _end_pods(self) -> None:
        for worker in self._workers.values():
            worker.terminate(self._grace)
        await asyncio.gather(*(worker.wait_until_over() for worker in self._workers.values()))
        await _cancel(list(self._lives.values()))

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        worker = next((each for each in self._workers.values() if each.name == f"{namespace}/{pod}"), None)
        if worker is None or self._lost:
            raise LookupError(f'pod "{pod}" is not on node {self.name}')
        return worker

    def _look_at(self, key: Key) -> None:
        worker = self._workers.get(key[1])
        if found := self._pods.of(key):
            self._follow(found[0].object, worker)
        elif worker is not None:
            worker.removed()

    def _follow(self, pod: Object, worker: PodWorker | None) -> None:
        if worker is None and (pod.get("status") or {}).get("phase") in OVER:
            return  # it has run under an earlier kubelet
        if worker is None:
            worker = self._begin(pod)
        if pod["metadata"].get("deletionTimestamp"):
            worker.delete(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
        else:
            worker.limit(pod["spec"].get("activeDeadlineSeconds"))

    def _begin(self, pod: Object) -> PodWorker:
        uid = pod["metadata"]["uid"]
        address = self.addresses.hold(host_name(pod), uid)
        context = PodContext(
            client=self._client,
            folder=PodFolder(self._folder, uid),
            addresses=self.addresses,
            facts=PodFacts(pod, address, self.addresses.node, self._capacity),
            directory=self._directory,
        )
        worker = PodWorker(context, self._events, self._back_off)
        verdict = self._admit(pod)
        self._workers[uid] = worker
        life = asyncio.create_task(worker.live(verdict))
        self._lives[uid] = life
        life.add_done_callback(lambda task: self._end(uid, task))
        return worker

    def _end(self, uid: str, life: asyncio.Task[None]) -> None:
        worker = self._workers.pop(uid)
        del self._lives[uid]
        if not life.cancelled() and (error := life.exception()) is not None:
            _log.error("%s: the pocket kubelet failed", worker.name, exc_info=error)

    def _admit(self, pod: Object) -> Verdict | None:
        """Why the pod may not run here, or None."""
        if (pod.get("status") or {}).get("phase") == "Running":
            return Verdict("NodeLost", "The kubelet that ran the pod has ended, and its processes with it")
        if why := admission.refusals(pod):
            return Verdict(admission.REASON, "; ".join(why))
        held = usage(worker.pod for worker in self._workers.values() if not worker.over).get(self.name, {})
        for resource, wanted in requests(pod).items():
            used = held.get(resource, Fraction(0))
            offered = parse_quantity(self._capacity.get(resource, "0"))
            if resource not in NOT_ENFORCED and used + wanted > offered:
                numbers = f"requested: {wanted}, used: {used}, capacity: {offered}"
                return Verdict(f"OutOf{resource}", f"Node didn't have enough resource: {resource}, {numbers}")
        return None

    async def _register(self) -> None:
        try:
            await self._client.create(NODES, None, node.manifest(self.name))
        except ApiError as error:
            if not error.already_exists:
                raise
        await self._write_node_status()

    async def _write_node_status(self) -> None:
        status = node.status(self.name, self.addresses.node, self._capacity, self._ready_since)
        await self._client.patch(
            NODES, None, self.name, {"status": status}, subresource="status", content_type=_STRATEGIC
        )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self._write_node_status()
            except ApiError as error:
                _log.warning("node %s: heartbeat: %s", self.name, error)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
