"""Takes each request to the server that owns its range, again and again until it is answered or patience ends."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

from trireme_worker.comm.ps import frame, transport
from trireme_worker.comm.ps.channel import Channel, Exchange, Reply
from trireme_worker.comm.ps.connections import Connections
from trireme_worker.comm.ps.errors import BadFrame, Lost, ParameterServerError, Reason, Refused
from trireme_worker.comm.ps.frame import Header
from trireme_worker.comm.ps.operation import Request
from trireme_worker.comm.ps.view import Watch

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.5
KEEP_SECONDS = 1.0
"""Between two pings of every server."""


class Courier:
    def __init__(self, watch: Watch, connections: Connections, patience_seconds: float) -> None:
        self._watch = watch
        self._connections = connections
        self._patience = patience_seconds
        self._lock = threading.Condition()
        self._later: list[tuple[float, int, Request]] = []
        self._order = itertools.count()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name="ps-courier", daemon=True),
            threading.Thread(target=self._keep, name="ps-keep", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, request: Request) -> None:
        """At once when there is a channel to the owner, else from the courier's own thread."""
        channel = self._channel(request, self._connections.get)
        if channel is None:
            self._again(request, 0.0)
        else:
            self._submit(channel, request)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            left = [request for _, _, request in self._later]
            self._later.clear()
            self._lock.notify_all()
        for request in left:
            request.failed(Lost("this client was shut down"))

    def join(self, seconds: float) -> None:
        """The thread that holds requests."""
        if self._threads[0] is not threading.current_thread():
            self._threads[0].join(seconds)

    def _channel(self, request: Request, find: Callable[..., Channel | None]) -> Channel | None:
        placement = self._watch.placement
        owners = placement.owners(request.table, request.index)
        return find(placement.serving(owners[0])) if owners else None

    def _submit(self, channel: Channel, request: Request) -> None:
        view, flags = self._watch.placement.view.number, request.flags
        if request.last is not None:
            last, settled = request.last()
            request.number = min(request.number, last)
            flags |= frame.SETTLED * settled
        header = Header(request.kind, view=view, table=request.table.number, index=request.index,
                        number=request.number, rate=request.rate, flags=flags)  # fmt: skip

        def done(outcome: Reply | ParameterServerError) -> None:
            try:
                self._answered(request, outcome)
            except Exception as error:
                log.exception("%s: its answer could not be taken", request)
                request.failed(ParameterServerError(f"{request}: its answer could not be taken: {error!r}"))

        request.sent = time.monotonic()
        channel.submit(Exchange(header, done, request.meta, request.body, request.into))

    def _answered(self, request: Request, outcome: Reply | ParameterServerError) -> None:
        if isinstance(outcome, Reply):
            self._got(request, outcome)
        elif isinstance(outcome, Refused) and outcome.reason is Reason.GAP and request.pushes:
            self._renumber(request, outcome.number)
        elif isinstance(outcome, Refused) and outcome.reason is Reason.GAP:
            request.number = outcome.number
            self._again(request, 0.0)
        elif isinstance(outcome, Refused) and outcome.reason is Reason.UNKNOWN_KEYS and request.whole is not None:
            request.body, request.whole = request.whole(), None
            self._again(request, 0.0)
        elif isinstance(outcome, Lost) or (
            isinstance(outcome, Refused) and outcome.reason in (Reason.WRONG_VIEW, Reason.NOT_READY)
        ):
            self._failed(request, outcome)
        else:
            request.failed(outcome)

    def _got(self, request: Request, reply: Reply) -> None:
        if request.received is not None:
            try:
                request.received(reply.body)
            except BadFrame as error:
                request.failed(error)
                return
        if request.answered is not None:
            request.answered(reply.header.number)
        request.finished()

    def _renumber(self, request: Request, last: int) -> None:
        """The server counts otherwise: it lost pushes with a server that had no backup, or this worker was away."""
        if last + 1 < request.number:
            log.warning("table %s range %d: the servers went back from push %d to %d",
                        request.table.name, request.index, request.number - 1, last)  # fmt: skip
        request.number = last + 1
        if request.renumbered is not None:
            request.renumbered(request.number)
        self._again(request, 0.0)

    def _failed(self, request: Request, error: ParameterServerError) -> None:
        now = time.monotonic()
        taken = request.sent is not None and now - request.sent > transport.SILENCE_SECONDS
        request.sent = None
        if request.since is None or taken:  # a server had it: in Sync a push waits there for others, however long
            request.since, request.tries = now, 0
        if now - request.since > self._patience:
            request.failed(
                ParameterServerError(
                    f"{request}: no server took it for {self._patience:g} s ({error}). Are the job's servers running? "
                    "A longer wait is set by TRIREME_PS_PATIENCE_SECONDS."
                )
            )
            return
        pause = min(FIRST_PAUSE_SECONDS * 2**request.tries, LONGEST_PAUSE_SECONDS)
        request.tries = min(request.tries + 1, 10)
        self._again(request, pause)

    def _again(self, request: Request, seconds: float) -> None:
        with self._lock:
            if not self._closed:
                heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), request))
                self._lock.notify_all()
                return
        request.failed(Lost("this client was shut down"))

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._closed and (not self._later or self._later[0][0] > time.monotonic()):
                    self._lock.wait(self._later[0][0] - time.monotonic() if self._later else None)
                if self._closed:
                    return
                _, _, request = heapq.heappop(self._later)
            try:
                channel = self._channel(request, self._connections.make)
                if channel is None:
                    raise Lost("no server is there")
                self._submit(channel, request)
            except Lost as error:
                self._failed(request, error)
            except ParameterServerError as error:
                request.failed(error)
            except Exception as error:
                log.exception("%s could not be sent", request)
                request.failed(ParameterServerError(f"{request} could not be sent: {error!r}"))

    def _keep(self) -> None:
        while not self._closed:
            try:
                self._connections.keep(self._watch.placement.view.servers)
            except Exception:  # at the next look it may be otherwise
                log.exception("the servers could not be pinged")
            with self._lock:
                self._lock.wait_for(lambda: self._closed, KEEP_SECONDS)
