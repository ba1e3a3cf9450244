"""A small HTTP/1.1 client for the agent's calls to the coordinator: keep-alive, limits, one deadline a call.

Every request of the wire may be sent twice, so a connection that the server has closed is replaced without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from http import HTTPStatus

from trireme.contract import wire

from trireme_worker.server import Refused, Response, reason_of

CONNECT_SECONDS = 2.0
"""Nobody may be behind an address any more; the kernel alone would try for minutes."""
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000),
)
"""The peer's kernel answers while its process thinks; a node that is gone is noticed within 5 s."""


class Unreachable(Exception):
    """No answer: the server is not there, went away in the middle, took too long or does not speak HTTP."""


@dataclass(frozen=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def usable(self) -> bool:
        return not (self.reader.at_eof() or self.writer.is_closing())


class Client:
    def __init__(self, host: str, port: int, token: str) -> None:
        self._host = host
        self._port = port
        self._authorization = wire.bearer(token)
        self._idle: list[_Connection] = []

    async def call(self, method: str, target: str, body: bytes = b"", *, seconds: float) -> bytes:
        """The answer's body. Raises Refused for a status of 400 and above, Unreachable when there is no answer."""
        try:
            response = await asyncio.wait_for(self._call(method, target, body), seconds)
        except asyncio.TimeoutError:
            raise Unreachable(f"{self._host}:{self._port} did not answer within {seconds:g} s") from None
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise Unreachable(f"{self._host}:{self._port}: {error or type(error).__name__}") from error
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise Refused(HTTPStatus(response.status), reason_of(response.body))
        return response.body

    def close(self) -> None:
        while self._idle:
            self._idle.pop().writer.close()

    async def _call(self, method: str, target: str, body: bytes) -> Response:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                try:
                    return await self._exchange(connection, method, target, body)
                except (OSError, EOFError):
                    continue
            connection.writer.close()
        return await self._exchange(await self._connect(), method, target, body)

    async def _connect(self) -> _Connection:
        opening = asyncio.open_connection(self._host, self._port, limit=wire.HEADER_MAX)
        try:
            reader, writer = await asyncio.wait_for(opening, CONNECT_SECONDS)
        except asyncio.TimeoutError:
            raise Unreachable(f"{self._host}:{self._port} took no connection within {CONNECT_SECONDS:g} s") from None
        with contextlib.suppress(OSError):  # it is closed already; the first read says so
            for option in _KEEP_ALIVE:
                writer.get_extra_info("socket").setsockopt(*option)
        return _Connection(reader, writer)

    async def _exchange(self, connection: _Connection, method: str, target: str, body: bytes) -> Response:
        try:
            head = (
                f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: {self._authorization}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            connection.writer.write(head.encode() + body)
            await connection.writer.drain()
            response, keep = await _read_response(connection.reader)
        except BaseException:
            connection.writer.close()
            raise
        if keep:
            self._idle.append(connection)
        else:
            connection.writer.close()
        return response


async def _read_response(reader: asyncio.StreamReader) -> tuple[Response, bool]:
    """Raises ValueError when it is not HTTP."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    _version, status, _phrase = lines[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    size = int(headers["content-length"]) if "content-length" in headers else 0
    if not 0 <= size <= wire.RESPONSE_MAX:
        raise ValueError(f"an answer of {size} bytes is too long")
    body = await reader.readexactly(size)
    return Response(body, HTTPStatus(int(status))), headers.get("connection") != "close"
