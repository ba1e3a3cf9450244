"""The agent's endpoint inside the pod, on 127.0.0.1: Horovod's key-value store and the user code's reports.

Horovod's client can send no token, so its paths `/<scope>/<key>` are open to whoever is inside the pod; reports need
the pod's key.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from trireme.contract import codec, wire

from trireme_worker.link import Lost
from trireme_worker.regroup import ADDRESSES_SCOPE, RANK_SCOPE, Regroup
from trireme_worker.rendezvous import Rendezvous
from trireme_worker.server import Refused, Request, Response, Server

ADDRESS = "127.0.0.1"
"""Horovod's client speaks IPv4 only."""
CONNECTIONS_PER_PROCESS = 32
SPARE_CONNECTIONS = 32


class LocalService:
    """For `processes` of the pod.

    `reported(report)` is called in the loop for every report; `view(request)` is what the coordinator says of views.
    """

    def __init__(
        self,
        processes: int,
        reported: Callable[[wire.Report], None],
        view: Callable[[Request], Awaitable[bytes]],
        regroup: Regroup,
    ) -> None:
        self.key = secrets.token_hex(32)
        self.rendezvous: Rendezvous | None = None
        """Set when a generation has formed."""
        self._reported = reported
        self._view = view
        self._regroup = regroup
        self._server = Server(self, connections=CONNECTIONS_PER_PROCESS * processes + SPARE_CONNECTIONS)

    async def start(self) -> None:
        await self._server.start(ADDRESS, 0)

    async def close(self) -> None:
        if self.rendezvous is not None:
            self.rendezvous.close()
        await self._server.close()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    def authorized(self, path: str, authorization: str) -> bool:
        return not path.startswith(wire.PATH_PREFIX + "/") or wire.authorized(authorization, self.key)

    async def answer(self, request: Request) -> Response:
        if request.path == wire.REPORT_PATH:
            if request.method != "POST":
                raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path} takes no {request.method}")
            self._reported(codec.decode(wire.Report, request.body))
            return Response()
        try:
            if request.path == wire.VIEW_PATH:
                return Response(await self._view(request))
            if request.path == wire.MEMBERSHIP_PATH:
                return await self._membership(request)
            parts = request.segments()
            if self.rendezvous is None or len(parts) != 2:
                raise Refused(HTTPStatus.NOT_FOUND, "there is no such path")
            if (request.method, parts[0]) == ("GET", RANK_SCOPE):
                place = await self._regroup.place(parts[1])
                return Response(status=HTTPStatus.NOT_FOUND) if place is None else Response(place)
            if (request.method, parts[0]) == ("PUT", ADDRESSES_SCOPE):
                self._regroup.registers(parts[1])
                return Response()
            return await _store(self.rendezvous, request, *parts)
        except Lost as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error

    async def _membership(self, request: Request) -> Response:
        after = request.after()
        number = after
        with contextlib.suppress(asyncio.TimeoutError):
            number = await asyncio.wait_for(self._regroup.news(after), wire.JOIN_POLL_SECONDS)
        return Response(codec.encode(wire.Membership(number)))


async def _store(rendezvous: Rendezvous, request: Request, scope: str, key: str) -> Response:
    if request.method == "GET":
        value = await rendezvous.get(scope, key)
        return Response(status=HTTPStatus.NOT_FOUND) if value is None else Response(value)
    if request.method == "PUT":
        await rendezvous.put(scope, key, request.body)
    elif request.method == "DELETE":
        await rendezvous.delete(scope)
    else:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"the store takes no {request.method}")
    return Response()
