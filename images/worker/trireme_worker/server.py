"""A small HTTP/1.1 server that trusts nobody: every read has a limit and a deadline, every refusal has a reason.

Only what the wire needs: fixed-length bodies and keep-alive. It knows no path; a Service answers. Stdlib only, because
it runs in any image.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from trireme.contract import codec, wire

REQUEST_SECONDS = 15.0
"""For a whole request to arrive, head and body; a connection that says nothing for so long is closed."""
BACKLOG = 1024
POSITION_DIGITS = 18

_METHODS_WITH_BODY = ("POST", "PUT")


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """Percent-encoded, without the query."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def segments(self) -> list[str]:
        """The path's parts, decoded."""
        return [unquote(part) for part in self.path.strip("/").split("/")]

    def after(self) -> int:
        """The query's `after`, 0 by default. Raises Refused."""
        return self.number("after", "0")

    def number(self, key: str, default: str) -> int:
        """Raises Refused."""
        text = self.query.get(key, default)
        if not text.isdecimal() or len(text) > POSITION_DIGITS:
            raise Refused(HTTPStatus.BAD_REQUEST, f"`{key}` is not a number")
        return int(text)


@dataclass(frozen=True)
class Response:
    body: bytes = b""
    status: int = 200


class Refused(Exception):
    """Answered with a status of 400 or above and the reason as JSON."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(f"{status.value} {status.phrase}: {reason}")
        self.status = status
        self.reason = reason


class Service(Protocol):
    def authorized(self, path: str, authorization: str) -> bool:
        """Asked before a body is read. Compares in constant time."""

    async def answer(self, request: Request) -> Response:
        """Raises Refused, or codec.BadMessage for a body that is not what the path takes."""


@dataclass(frozen=True)
class _Head:
    method: str
    target: str
    headers: Mapping[str, str]
    keep_alive: bool


class Server:
    """Serves one Service on one address. `connections`: how many at once; the next ones are closed unheard."""

    def __init__(self, service: Service, *, connections: int, request_seconds: float = REQUEST_SECONDS) -> None:
        self._service = service
        self._connections = connections
        self._request_seconds = request_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Port 0 takes a free one. Raises OSError when the address cannot be had."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=wire.HEADER_MAX, backlog=BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._connections:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass  # the peer went away, which is its right
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when the connection is to be closed."""
        deadline = asyncio.get_running_loop().call_later(self._request_seconds, writer.transport.abort)
        keep_alive = False
        try:
            head = await _read_head(reader)
            request = await self._read_request(reader, head)
            keep_alive = head.keep_alive
            deadline.cancel()
            response = await self._service.answer(request)
        except Refused as refusal:
            response = _refusal(refusal.status, refusal.reason)
        except codec.BadMessage as error:
            response = _refusal(HTTPStatus.BAD_REQUEST, str(error))
        finally:
            deadline.cancel()
        await self._send(writer, response, keep_alive)
        return keep_alive

    async def _read_request(self, reader: asyncio.StreamReader, head: _Head) -> Request:
        target = urlsplit(head.target)
        if not self._service.authorized(target.path, head.headers.get("authorization", "")):
            raise Refused(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong")
        size = _body_size(head)
        query = {key: values[-1] for key, values in parse_qs(target.query).items()}
        return Request(head.method, target.path, query, await reader.readexactly(size))

    async def _send(self, writer: asyncio.StreamWriter, response: Response, keep_alive: bool) -> None:
        status = HTTPStatus(response.status)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: {len(response.body)}\r\n"
            f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
        )
        writer.write(head.encode() + response.body)
        deadline = asyncio.get_running_loop().call_later(self._request_seconds, writer.transport.abort)
        try:
            await writer.drain()
        finally:
            deadline.cancel()


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    try:
        data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Refused(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head is longer than {wire.HEADER_MAX} bytes"
        ) from None
    first, *lines = data.decode("latin-1").split("\r\n")
    try:
        method, target, version = first.split(" ")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines if line)}
        urlsplit(target)
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "the head is not HTTP") from None
    if version not in ("HTTP/1.0", "HTTP/1.1") or not target.startswith("/"):
        raise Refused(HTTPStatus.BAD_REQUEST, "the request line is not HTTP/1.1")
    keep_alive = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return _Head(method, target, headers, keep_alive)


def _body_size(head: _Head) -> int:
    length = head.headers.get("content-length")
    if "transfer-encoding" in head.headers or (length is None and head.method in _METHODS_WITH_BODY):
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "a body needs a Content-Length")
    if length is None:
        return 0
    if not (length.isascii() and length.isdecimal()):
        raise Refused(HTTPStatus.BAD_REQUEST, "Content-Length is not a number")
    if len(length) > len(str(wire.REQUEST_MAX)) or int(length) > wire.REQUEST_MAX:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {wire.REQUEST_MAX} bytes")
    return int(length)


def _refusal(status: HTTPStatus, reason: str) -> Response:
    return Response(json.dumps({"error": reason}).encode(), status)


def reason_of(body: bytes) -> str:
    """The reason in a refusal's body; an empty string when there is none."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(body)["error"])
    return ""
