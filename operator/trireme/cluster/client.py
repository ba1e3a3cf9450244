"""The API server as a few verbs over plain dicts. Says nothing of what the objects mean."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from trireme.cluster.errors import ApiError, Unreachable
from trireme.cluster.fence import Fence
from trireme.cluster.resources import PODS, Resource
from trireme.cluster.throttle import Throttle
from trireme.cluster.transport import BROKEN, Answered, Request, Transport, nobody_counts, unreachable

log = logging.getLogger(__name__)

Object = dict[str, Any]

WATCH_SECONDS = 300
"""After this the server ends a watch, so that watches spread over its replicas anew."""
SILENCE_SECONDS = 120.0
"""A watch hears a bookmark about once a minute: twice that without a byte, and the connection is half open."""
LINE_MAX = 8 * 1024 * 1024
"""Bytes of one watch event; etcd holds objects of at most 1.5 MiB."""
PAGE = 500

MERGE_PATCH = "application/merge-patch+json"


class Client:
    """Every method raises ApiError; Unreachable is the one without an answer."""

    def __init__(self, transport: Transport, writes: Throttle, fence: Fence | None = None) -> None:
        self._transport = transport
        self._writes = writes
        self._fence = fence

    @classmethod
    async def connect(
        cls,
        kubeconfig: Path | None = None,
        context: str | None = None,
        *,
        writes: Throttle | None = None,
        fence: Fence | None = None,
        answered: Answered = nobody_counts,
    ) -> Client:
        """The cluster of `kubeconfig`, else of KUBECONFIG, ~/.kube/config, the pod's service account.

        With a `fence` every write raises Fenced while that is closed. Nothing is sent yet. Raises BadKubeconfig.
        """
        throttle = writes or Throttle(rate=1000, burst=1000, concurrency=100)
        transport = await Transport.connect(kubeconfig, context, fence)
        transport.answered = answered
        return cls(transport, throttle, fence)

    def apart(self, writes: Throttle) -> Client:
        """Another client over the same connections: nobody else waits for its writes."""
        return Client(self._transport, writes)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        return _object(await self._transport.send(Request("GET", resource.path(namespace, name))))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        resource_version: str | None = None,
        limit: int = PAGE,
    ) -> tuple[list[Object], str]:
        """All objects and the resource version that a watch goes on from; read in pages of `limit`."""
        items: list[Object] = []
        version = ""
        pages = self.pages(
            resource, namespace, label_selector=label_selector, field_selector=field_selector,
            resource_version=resource_version, limit=limit,
        )  # fmt: skip
        async for page in pages:
            body = _object(page)
            items += body.get("items") or ()
            version = body["metadata"]["resourceVersion"]
        return items, version

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        resource_version: str | None = None,
        limit: int = PAGE,
    ) -> AsyncGenerator[bytes, None]:
        """The JSON of each page of a list. A continue token that grew too old raises an ApiError that is `gone`."""
        query: dict[str, str | int | bool | None] = {
            "labelSelector": label_selector, "fieldSelector": field_selector, "resourceVersion": resource_version,
            "limit": limit,
        }  # fmt: skip
        while True:
            body = await self._transport.send(Request("GET", resource.path(namespace), query))
            yield body
            token = _page.decode(body).metadata.token
            if not token:
                return
            query = {**query, "continue": token, "resourceVersion": None}

    async def kinds(self, api_version: str) -> frozenset[str]:
        """What the API server serves of a group's version; empty when it does not know it or does not tell us."""
        try:
            body = _object(await self._transport.send(Request("GET", f"/apis/{api_version}")))
        except ApiError as error:
            if not (error.not_found or error.refused):
                raise
            return frozenset()
        return frozenset(resource["kind"] for resource in body["resources"])

    async def create(self, resource: Resource, namespace: str | None, body: Object) -> Object:
        return _object(await self._write(Request("POST", resource.path(namespace), body=body)))

    async def create_subresource(
        self, resource: Resource, namespace: str | None, name: str, subresource: str, body: Object
    ) -> Object:
        """POST to an object's subresource: `binding`, `eviction`."""
        return _object(await self._write(Request("POST", resource.path(namespace, name, subresource), body=body)))

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Any,
        *,
        subresource: str | None = None,
        content_type: str = MERGE_PATCH,
    ) -> Object:
        """With a resourceVersion in the body it raises `conflict` unless that is the latest."""
        path = resource.path(namespace, name, subresource)
        return _object(await self._write(Request("PATCH", path, body=body, content_type=content_type)))

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str | None = None,
    ) -> None:
        """With `uid` only that very object goes: a successor of its name raises an ApiError that is `conflict`."""
        options: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid} if uid is not None else None,
            "gracePeriodSeconds": grace_seconds,
            "propagationPolicy": propagation,
        }
        body = {key: value for key, value in options.items() if value is not None}
        await self._write(Request("DELETE", resource.path(namespace, name), body=body))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_seconds: int = WATCH_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> AsyncGenerator[bytes, None]:
        """One JSON event a line, bookmarks and in-stream errors among them.

        Ends when the server ends it, the connection breaks or nothing was heard for `silence_seconds`: go on from the
        last resource version seen. An event that was cut off is not delivered.
        """
        query: dict[str, str | int | bool | None] = {
            "watch": True, "allowWatchBookmarks": True, "resourceVersion": resource_version,
            "labelSelector": label_selector, "fieldSelector": field_selector, "timeoutSeconds": timeout_seconds,
        }  # fmt: skip
        path = resource.path(namespace)
        request = Request("GET", path, query, total_seconds=None, silence_seconds=silence_seconds)
        async with self._transport.open(request) as response:
            buffer = bytearray()
            try:
                async for chunk in response.content.iter_any():
                    buffer += chunk
                    if b"\n" in chunk:
                        *lines, buffer = buffer.split(b"\n")
                        for line in lines:
                            yield bytes(line)
                    elif len(buffer) > LINE_MAX:
                        raise Unreachable(str(request), f"one watch event has more than {LINE_MAX} bytes")
            except BROKEN as error:
                log.debug("watch broke off path=%s error=%r", path, error)

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        follow: bool = False,
        timestamps: bool = False,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        since_time: str | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """A container's output in chunks, as it comes; None: the pod's only or default container.

        With `follow` a silent container is waited for without limit. With `timestamps` each line begins with the time
        when it was written (RFC 3339). `since_time` counts whole seconds, and one of the two at most may be given.
        """
        query = {
            "container": container, "follow": follow or None, "timestamps": timestamps or None,
            "tailLines": tail_lines, "sinceSeconds": since_seconds, "sinceTime": since_time,
        }  # fmt: skip
        request = Request("GET", PODS.path(namespace, pod, "log"), query, total_seconds=None)
        async with self._transport.open(request) as response:
            try:
                async for chunk in response.content.iter_any():
                    yield chunk
            except BROKEN as error:
                raise unreachable(request, error) from error

    async def _write(self, request: Request) -> bytes:
        fence = self._fence.crossing() if self._fence is not None else contextlib.nullcontext()
        async with self._writes, fence:  # in this order: who waits for his turn is not cut off, but asked afterwards
            return await self._transport.send(request)


class _Metadata(msgspec.Struct, rename={"token": "continue"}):
    token: str = ""


class _Page(msgspec.Struct):
    metadata: _Metadata


_page = msgspec.json.Decoder(_Page)


def _object(data: bytes) -> Object:
    decoded: Object = msgspec.json.decode(data)
    return decoded
