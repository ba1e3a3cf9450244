"""The pocket cluster: API server, scheduler, kubelet and operator in one process, talking HTTP as they would anywhere.

It owns the order in which they start and stop, and nothing else. The operator is the one that runs in clusters.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from trireme.cluster.client import Client
from trireme.cluster.resources import CUSTOM_RESOURCE_DEFINITIONS
from trireme.controller import handlers
from trireme.controller.settings import Settings
from trireme.pocket.apiserver.server import ApiServer
from trireme.pocket.kubelet.kubelet import Kubelet
from trireme.pocket.scheduler import Scheduler
from trireme.spec.crd import crd

OPERATOR_STOP_SECONDS = 5.0
"""How long the operator may take to stop by itself."""
_ESTABLISHED_SECONDS = 10.0
_POLL_SECONDS = 0.01


class PocketCluster:
    """A Kubernetes of one node for the time of an `async with`.

    When a part of it fails, the block is cancelled and that failure raised. Raises OSError at the start: the port is
    taken, the directory cannot be written.
    """

    def __init__(self, directory: Path, *, gpus: int = 0, port: int = 0) -> None:
        """All its files lie in `directory`, which is made if need be; what it made is removed at the end."""
        self.directory = directory
        self.kubeconfig_path = directory / "kubeconfig"
        self.server = ApiServer(token=secrets.token_urlsafe(32))
        self._gpus = gpus
        self._port = port
        self._stack = AsyncExitStack()
        self._stopping = False
        self._failure: BaseException | None = None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client of its own for whoever asks."""
        async with await Client.connect(self.kubeconfig_path) as client:
            yield client

    async def __aenter__(self) -> PocketCluster:
        """Returns when the node is ready and TrainingJobs are served."""
        self._owner = asyncio.current_task()
        async with AsyncExitStack() as stack:
            self._make_directory(stack)
            await self.server.start(port=self._port)
            stack.push_async_callback(self.server.stop)
            self._write_kubeconfig()
            client = await stack.enter_async_context(self.client())
            await self._define_jobs(client)
            self._run(stack, Scheduler(client).run())
            self.kubelet = Kubelet(client, self.directory / "pods", gpus=self._gpus)
            self.server.logs = self.kubelet
            await self.kubelet.start()
            stack.push_async_callback(self.kubelet.stop)
            self._run(stack, self.kubelet.serve())
            self._run_operator(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The operator first, so that it makes no new pods; the API server last, so that the others end in peace."""
        self._stopping = True
        await self._stack.__aexit__(kind, error, trace)
        if self._failure is not None and isinstance(error, asyncio.CancelledError) and self._owner is not None:
            self._owner.uncancel()
            raise self._failure

    def _make_directory(self, stack: AsyncExitStack) -> None:
        existed = self.directory.exists()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in [self.directory / "pods", self._key_path, self.kubeconfig_path] if existed else [self.directory]:
            stack.callback(_remove, path)

    def _write_kubeconfig(self) -> None:
        with open(self.kubeconfig_path, "w", opener=_private) as file:
            yaml.safe_dump(self.server.kubeconfig(), file)

    async def _define_jobs(self, client: Client) -> None:
        definition = await client.create(CUSTOM_RESOURCE_DEFINITIONS, None, crd())
        name = definition["metadata"]["name"]
        async with asyncio.timeout(_ESTABLISHED_SECONDS):
            while not _established(definition):
                await asyncio.sleep(_POLL_SECONDS)
                definition = await client.get(CUSTOM_RESOURCE_DEFINITIONS, None, name)

    def _run(self, stack: AsyncExitStack, part: Coroutine[Any, Any, None]) -> None:
        task = self._watched(part)

        async def stop() -> None:
            task.cancel()
            await asyncio.wait([task])

        stack.push_async_callback(stop)

    def _run_operator(self, stack: AsyncExitStack) -> None:
        asked = asyncio.Event()
        settings = Settings(kubeconfig=self.kubeconfig_path, key_file=self._key_path)
        task = self._watched(handlers.run(settings, asked))

        async def stop() -> None:
            asked.set()
            await asyncio.wait([task], timeout=OPERATOR_STOP_SECONDS)
            task.cancel()
            await asyncio.wait([task])

        stack.push_async_callback(stop)

    def _watched(self, part: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task whose failure is everybody's."""

        def ended(task: asyncio.Task[None]) -> None:
            failure = None if task.cancelled() else task.exception()
            if failure is not None and not self._stopping and self._owner is not None:
                self._failure = failure
                self._owner.cancel()

        task = asyncio.create_task(part)
        task.add_done_callback(ended)
        return task

    @property
    def _key_path(self) -> Path:
        return self.directory / "operator.key"


def _established(definition: dict[str, Any]) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
