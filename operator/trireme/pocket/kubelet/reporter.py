"""Brings a pod's status to the API server: the newest one, in order, however often writing it fails."""

from __future__ import annotations

import asyncio
import logging
import random

from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import PODS
from trireme.pocket.kubelet.environment import Object

RETRY_SECONDS = 1.0
_STRATEGIC = "application/strategic-merge-patch+json"
"""As the kubelet: conditions are merged by type, so that those of others (PodScheduled, DisruptionTarget) stay."""

_log = logging.getLogger(__name__)


class Reporter:
    """One pod's; `run` writes what `publish` was last given."""

    def __init__(self, client: Client, pod: Object) -> None:
        self._client = client
        self._namespace = pod["metadata"]["namespace"]
        self._name = pod["metadata"]["name"]
        self._uid = pod["metadata"]["uid"]
        self._wanted: Object | None = None
        self._written: Object | None = None
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    @property
    def last(self) -> Object:
        """The status last published, or an empty one."""
        return self._wanted or {}

    def publish(self, status: Object) -> None:
        if status != self._wanted and not self._closed:
            self._wanted = status
            self._idle.clear()
            self._news.set()

    def close(self) -> None:
        """The pod is gone, or nobody is to hear of it any more: nothing is written from now on."""
        self._closed = True
        self._idle.set()

    async def flush(self) -> None:
        """Returns when everything published is written or cannot be."""
        await self._idle.wait()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._written is not self._wanted and not self._closed:
                if not await self._write():
                    await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))
            self._idle.set()

    async def _write(self) -> bool:
        """False when it should be tried again."""
        status = self._wanted
        body = {"metadata": {"uid": self._uid}, "status": status}
        try:
            await self._client.patch(
                PODS, self._namespace, self._name, body, subresource="status", content_type=_STRATEGIC
            )
        except ApiError as error:
            _log.log(
                logging.DEBUG if error.not_found else logging.WARNING,
                "%s/%s: its status could not be written: %s",
                self._namespace,
                self._name,
                error,
            )
            if not (error.not_found or error.refused):
                return False
        self._written = status
        return True
