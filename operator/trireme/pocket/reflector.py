"""A collection of the API, kept up to date: list, watch, and list again when the watch cannot go on.

For the pocket's own controllers, which need whole objects; the operator's informer decodes what it needs and no more.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable
from typing import Any

from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import Resource

Object = dict[str, Any]
Listener = Callable[[Object], None]

_AGAIN_SECONDS = 0.05
"""Between two watches, so that a server that ends each at once is not run down."""
_RETRY_SECONDS = 0.5
_RETRY_SECONDS_MAX = 10.0

_log = logging.getLogger(__name__)


class Reflector:
    """`changed` gets every object that is new or different, `removed` the last state of one that is gone.

    Objects are told apart by UID: a successor of the same name is another object.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        changed: Listener,
        removed: Listener,
        field_selector: str | None = None,
    ) -> None:
        self.objects: dict[str, Object] = {}
        """By UID."""
        self.synced = asyncio.Event()
        """Set once the first list is in."""
        self._client = client
        self._resource = resource
        self._changed = changed
        self._removed = removed
        self._field_selector = field_selector

    async def run(self) -> None:
        """Until cancelled; troubles are waited out."""
        version, pause = "", _RETRY_SECONDS
        while True:
            try:
                if not version:
                    version = await self._list()
                version = await self._watch(version)
                pause = _RETRY_SECONDS
                await asyncio.sleep(_AGAIN_SECONDS)
            except (ApiError, OSError) as error:
                if isinstance(error, ApiError) and error.gone:
                    version = ""
                _log.info("%s: %s; again in %.1f s", self._resource.plural, error, pause)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, _RETRY_SECONDS_MAX)

    async def _list(self) -> str:
        items, version = await self._client.list(self._resource, field_selector=self._field_selector)
        present = {item["metadata"]["uid"]: item for item in items}
        for uid in self.objects.keys() - present.keys():
            self._removed(self.objects.pop(uid))
        for item in items:
            self._put(item)
        self.synced.set()
        return version

    async def _watch(self, version: str) -> str:
        """The version to go on from when the server ends the watch; empty when that is too old to be served."""
        lines = self._client.watch(self._resource, resource_version=version, field_selector=self._field_selector)
        async for line in lines:
            event = json.loads(line)
            item = event["object"]
            match event["type"]:
                case "ERROR":
                    return ""
                case "ADDED" | "MODIFIED":
                    self._put(item)
                case "DELETED" if self.objects.pop(item["metadata"]["uid"], None) is not None:
                    self._removed(item)
            version = item["metadata"]["resourceVersion"]
        return version

    def _put(self, item: Object) -> None:
        metadata = item["metadata"]
        before = self.objects.get(metadata["uid"])
        if before is None or before["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            self.objects[metadata["uid"]] = item
            self._changed(item)
