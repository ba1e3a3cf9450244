"""Objects of one resource kept true by the operator's own informer, for commands that show them live."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec

from trireme.cluster.client import Client, Object
from trireme.cluster.informer import Informer
from trireme.cluster.resources import Resource

_ALL = ("", "")


@dataclass(frozen=True)
class _Record:
    object: Object

    @property
    def namespace(self) -> str:
        return str(self.object["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def resource_version(self) -> str:
        return str(self.object["metadata"]["resourceVersion"])


class Mirror:
    """`async with`: entered once the first list is complete. `changed` is set by every change; its reader clears it."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str | None,
        changed: asyncio.Event,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> None:
        self._informer = Informer(
            client,
            resource,
            decode=lambda raw: _Record(msgspec.json.decode(raw)),
            key=lambda _: _ALL,
            changed=lambda _: changed.set(),
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._informer.run())
        await self._informer.synced.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def objects(self) -> list[Object]:
        """Sorted by namespace and name."""
        records = sorted(self._informer.of(_ALL), key=lambda record: (record.namespace, record.name))
        return [record.object for record in records]
