"""The coordinator on the wire: paths, waiting and the clock around its state machine. It decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from trireme.contract import codec, entries, names, wire

from trireme_worker.coordinator import Coordinator
from trireme_worker.membership import Terms, Who
from trireme_worker.roster import NotAMember
from trireme_worker.server import Refused, Request, Response, Server
from trireme_worker.store import Store
from trireme_worker.views import NotAShard, Views

TICK_SECONDS = 0.1
BATCH_SECONDS = 0.02
"""A follower of a scope waits at most this long behind the first new entry, so that a burst travels as one answer."""
BATCH_SECONDS_PER_MEMBER = 0.0002
"""In a small job less: an answer costs the coordinator 0.06 ms, so this is at most a third of its time."""
CONNECTIONS_PER_MEMBER = 4
SPARE_CONNECTIONS = 64


class Clock:
    """Unix time at its making, steady from then on."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        return self._offset + time.monotonic()


class CoordinatorService:
    """`shards`: of the job's parameter server; 0 when it has none."""

    def __init__(self, terms: Terms, token: str, shards: int = 0) -> None:
        self._clock = Clock()
        self._coordinator = Coordinator(terms, self._clock())
        self._token = token
        self._store = Store()
        self._batch_seconds = batch_seconds(terms.most + terms.servers)
        self._stored = 0
        """The generation whose store it is."""
        self._views = Views(shards)
        self._serving_role = names.ROLE_SERVER if terms.servers else names.ROLE_WORKER
        """Whose pods carry the shards."""
        self._changed = asyncio.Event()
        self._formed: tuple[wire.Joined, bytes] | None = None
        self._server = Server(
            self, connections=CONNECTIONS_PER_MEMBER * (terms.most + terms.servers) + SPARE_CONNECTIONS
        )
        self._ticking: asyncio.Task[None] | None = None
        self._routes: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            ("POST", wire.JOIN_PATH): self._join,
            ("POST", wire.BEAT_PATH): self._beat,
            ("GET", wire.STATUS_PATH): self._status,
            ("POST", wire.RULING_PATH): self._rule,
            ("POST", wire.VIEW_PATH): self._serve,
            ("GET", wire.VIEW_PATH): self._view,
        }

    async def start(self, host: str, port: int) -> None:
        """Raises OSError when the address cannot be had."""
        await self._server.start(host, port)
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def close(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        await self._server.close()

    @property
    def port(self) -> int:
        return self._server.port

    def progress(self) -> wire.Progress | None:
        return self._coordinator.report(self._clock()).progress

    async def deserted(self, but: Who) -> None:
        """Returns when every member except `but` has heard its last orders or has fallen silent."""
        while not self._coordinator.deserted(self._clock(), but):
            await self._news(TICK_SECONDS)

    def authorized(self, path: str, authorization: str) -> bool:
        return wire.authorized(authorization, self._token)

    async def answer(self, request: Request) -> Response:
        if request.path.startswith(wire.STORE_PREFIX):
            return await self._answer_store(request)
        route = self._routes.get((request.method, request.path))
        if route is None:
            known = any(path == request.path for _, path in self._routes)
            raise _refusal_of_method(request) if known else Refused(HTTPStatus.NOT_FOUND, "there is no such path")
        return await route(request)

    async def _join(self, request: Request) -> Response:
        join = codec.decode(wire.Join, request.body)
        try:
            self._change(lambda: self._coordinator.join(join, self._clock()))
        except NotAMember as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        await self._until(lambda: not self._coordinator.awaits(join), wire.JOIN_POLL_SECONDS)
        return Response(self._encoded(self._coordinator.joined(join)))

    def _encoded(self, joined: wire.Joined) -> bytes:
        """What all are to hear is encoded once: with thousands of members it is long."""
        if joined.generation is None or joined.done:
            return codec.encode(joined)
        if self._formed is None or self._formed[0].generation is not joined.generation:
            self._formed = joined, codec.encode(joined)
        return self._formed[1]

    async def _beat(self, request: Request) -> Response:
        beat = codec.decode(wire.Beat, request.body)
        try:
            self._change(lambda: self._heard(beat))
        except NotAMember as error:
            raise Refused(HTTPStatus.CONFLICT, str(error)) from error
        try:
            if beat.state is not wire.State.LEFT:
                await self._until(lambda: self._orders(beat) is not wire.Order.CONTINUE, wire.BEAT_SECONDS)
            return Response(codec.encode(self._coordinator.orders(beat)))
        except NotAMember as error:
            raise Refused(HTTPStatus.CONFLICT, str(error)) from error

    def _orders(self, beat: wire.Beat) -> wire.Order:
        return self._coordinator.orders(beat).order

    def _heard(self, beat: wire.Beat) -> None:
        self._coordinator.beat(beat, self._clock())
        ended = beat.failure is not None and beat.failure.rank is None  # its agent knows that before the silence does
        if ended and beat.role == self._serving_role:
            self._views.ended(beat.index)

    async def _status(self, request: Request) -> Response:
        if "after" not in request.query:
            return Response(codec.encode(self._coordinator.report(self._clock())))
        after = request.after()
        self._coordinator.holding.listens(self._clock())
        await self._until(lambda: self._coordinator.holding.number != after, wire.NEWS_SECONDS)
        return Response(codec.encode(self._coordinator.news(self._clock())))

    async def _rule(self, request: Request) -> Response:
        ruling = codec.decode(wire.Ruling, request.body)
        self._change(lambda: self._coordinator.rule(ruling, self._clock()))
        return Response(codec.encode(self._coordinator.news(self._clock())))

    async def _serve(self, request: Request) -> Response:
        serving = codec.decode(wire.Serving, request.body)
        try:
            self._change(lambda: self._views.serve(serving, self._clock()))
        except NotAShard as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        return Response(codec.encode(self._views.view))

    async def _view(self, request: Request) -> Response:
        after, known = request.after(), request.number("finished", "0") if "finished" in request.query else None
        await self._until(lambda: _newer(self._views.view, after, known), wire.JOIN_POLL_SECONDS)
        return Response(codec.encode(self._views.view))

    async def _answer_store(self, request: Request) -> Response:
        generation, *keys = request.segments()[2:] or [""]
        self._check_running(generation)
        if request.method == "PUT" and len(keys) == 2:
            self._store.put(keys[0], keys[1], request.body)
            self._announce()
            return Response()
        if request.method == "DELETE" and len(keys) == 1:
            self._store.drop(keys[0])
            return Response()
        if request.method == "GET" and len(keys) == 1:
            answer = await self._follow(keys[0], request.after())
            self._check_running(generation)
            return answer
        raise _refusal_of_method(request)

    def _check_running(self, generation: str) -> None:
        """A store belongs to one generation. Raises Refused."""
        present = self._coordinator.generation
        running = present is not None and self._coordinator.phase is not wire.Phase.FORMING
        if present is None or not running or generation != str(present.number):
            raise Refused(HTTPStatus.CONFLICT, f"generation {generation} is not the present one")
        if present.number != self._stored:
            self._store, self._stored = Store(), present.number

    async def _follow(self, scope: str, position: int) -> Response:
        if not self._store.after(scope, position):
            await self._until(lambda: bool(self._store.after(scope, position)), wire.JOIN_POLL_SECONDS)
            await asyncio.sleep(self._batch_seconds)
        return Response(entries.encode(self._store.after(scope, position)))

    def _change(self, change: Callable[[], None]) -> None:
        """Makes a change and wakes those who wait when it mattered to them."""
        before = self._coordinator.revision, self._views.view
        change()
        self._views.finish(self._coordinator.finished)
        if (self._coordinator.revision, self._views.view) != before:
            self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, reached: Callable[[], bool], seconds: float) -> None:
        """Waits for `reached`, or for `seconds`."""
        end = time.monotonic() + seconds
        while not reached() and (left := end - time.monotonic()) > 0:
            await self._news(left)

    async def _news(self, seconds: float) -> None:
        news = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({news}, timeout=seconds)
        finally:
            news.cancel()

    def _pass_time(self) -> None:
        now = self._clock()
        self._coordinator.tick(now)
        self._views.tick(now)

    async def _tick(self) -> None:
        while True:
            self._change(self._pass_time)
            await asyncio.sleep(TICK_SECONDS)


def batch_seconds(members: int) -> float:
    return min(BATCH_SECONDS, BATCH_SECONDS_PER_MEMBER * members)


def _newer(view: wire.View, after: int, finished: int | None) -> bool:
    """Than the one that somebody has. `finished`: how many workers that one says; None: it is no matter."""
    return view.number > after or (view.number == after and finished not in (None, len(view.finished)))


def _refusal_of_method(request: Request) -> Refused:
    return Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path} takes no {request.method}")
