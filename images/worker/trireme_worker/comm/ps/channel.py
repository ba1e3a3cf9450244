"""The asking end of a connection: requests go out in order, answers come back in any order, received where they belong.

Two threads a channel, one for each direction: neither end can block the other by not reading.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from trireme.contract.wire import Serving

from trireme_worker.comm.ps import greeting, returning, sharing, transport
from trireme_worker.comm.ps.errors import BadFrame, Lost, ParameterServerError, Reason, Refused
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.greeting import Caller

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    header: Header
    meta: bytes
    body: bytes
    """Empty when it was received into `Exchange.into`."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request. `done` gets the reply, or what went wrong; it is called once, by a thread of the channel."""

    header: Header
    done: Callable[[Reply | ParameterServerError], None]
    meta: bytes = b""
    body: Sequence[memoryview] = ()
    into: Sequence[memoryview] = ()
    """Where the answer's body belongs; empty: wherever."""


class Channel:
    def __init__(self, serving: Serving, token: bytes, caller: Caller) -> None:
        """Raises Lost, BadFrame, Unauthenticated."""
        self.serving = serving
        self._wire = transport.connect(serving.address, serving.port, serving.socket)
        try:
            host = greeting.greet(self._wire, token, caller)
            if (host.index, host.incarnation) != (serving.index, serving.incarnation):
                raise Lost(f"server {serving.index} is not at {serving.address}:{serving.port} any more")
            sharing.accept(self._wire)
            returning.accept(self._wire, serving, token, caller, host)
        except BaseException:
            self._wire.close()
            raise
        self._lock = threading.Lock()
        self._queue: SimpleQueue[tuple[Header, Exchange] | None] = SimpleQueue()
        """None is the last."""
        self._open: dict[int, Exchange] = {}
        self._next = 0
        self._error: ParameterServerError | None = None
        self._threads = [
            threading.Thread(target=run, name=f"ps-{name}-{serving.index}", daemon=True)
            for name, run in (("send", self._send), ("receive", self._receive))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        return self._error is None

    def submit(self, exchange: Exchange) -> None:
        """Queues a request. When the channel is lost, now or later, `done` gets the error."""
        with self._lock:
            error = self._error
            if error is None:
                self._next += 1
                self._open[self._next] = exchange
                self._queue.put((exchange.header._replace(request=self._next), exchange))
        if error is not None:
            self._tell(exchange, error)

    def ask(self, header: Header, meta: bytes = b"", body: Sequence[memoryview] = (), seconds: float = 30.0) -> Reply:
        """Sends and waits. Raises ParameterServerError."""
        answer = _Once()
        self.submit(Exchange(header, answer.put, meta, body))
        return answer.take(seconds)

    def ping(self) -> None:
        """Says that this end is there; a lost channel is noticed by whoever needs it."""
        self.submit(Exchange(Header(Kind.PING), _ignore))

    def close(self) -> None:
        self._fail(Lost("the channel was closed"))

    def join(self, seconds: float | None = None) -> None:
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(seconds)

    def _send(self) -> None:
        while (asked := self._queue.get()) is not None and self._error is None:
            header, exchange = asked
            try:
                self._wire.send(header, exchange.meta, exchange.body)
            except Lost as error:
                self._fail(error)
            except BadFrame as error:
                self._finish(header.request, error)
            except Exception as error:  # nobody knows how much of it was sent
                log.exception("server %d: a request could not be sent", self.serving.index)
                self._finish(header.request, ParameterServerError(f"the request could not be sent: {error!r}"))
                self._fail(Lost("a request was sent in part"))

    def _receive(self) -> None:
        """This thread alone gives up what is open: by then nothing is written to where answers belong."""
        while self._error is None:
            try:
                self._take()
            except ParameterServerError as error:
                self._fail(error)
            except Exception as error:
                log.exception("server %d: an answer could not be received", self.serving.index)
                self._fail(Lost(f"an answer could not be received: {error!r}"))
        assert self._error is not None
        with self._lock:
            lost = list(self._open.values())
            self._open.clear()
        for exchange in lost:
            self._tell(exchange, self._error)

    def _take(self) -> None:
        header = self._wire.receive()
        exchange = self._open.get(header.request)
        if exchange is None and header.kind is Kind.REFUSED:
            raise Refused(_reason(header.code), self._wire.receive_bytes(header.meta).decode(errors="replace"))
        if exchange is None:
            raise BadFrame(f"an answer to request {header.request}, which was not made")
        meta = bytes(self._wire.receive_bytes(header.meta)) if header.meta else b""
        body = b""
        if exchange.into and header.kind is Kind.VALUES:
            if header.body != (room := sum(len(part) for part in exchange.into)):
                raise BadFrame(f"an answer of {header.body} bytes where {room} belong")
            self._wire.receive_into(exchange.into)
        elif header.body:
            body = bytes(self._wire.receive_bytes(header.body))
        if header.kind is Kind.REFUSED:
            text = meta.decode(errors="replace")
            self._finish(header.request, Refused(_reason(header.code), text, header.number))
        else:
            self._finish(header.request, Reply(header, meta, body))

    def _finish(self, request: int, outcome: Reply | ParameterServerError) -> None:
        with self._lock:
            exchange = self._open.pop(request, None)
        if exchange is not None:
            self._tell(exchange, outcome)

    def _tell(self, exchange: Exchange, outcome: Reply | ParameterServerError) -> None:
        """The others are told theirs, whatever comes of it."""
        try:
            exchange.done(outcome)
        except Exception as error:
            log.exception("server %d: an answer could not be taken", self.serving.index)
            self._fail(Lost(f"an answer could not be taken: {error!r}"))

    def _fail(self, error: ParameterServerError) -> None:
        with self._lock:
            if self._error is not None:
                return
            self._error = error
            self._queue.put(None)
        self._wire.close()


@dataclass(slots=True)
class _Once:
    event: threading.Event = field(default_factory=threading.Event)
    outcome: Reply | ParameterServerError | None = None

    def put(self, outcome: Reply | ParameterServerError) -> None:
        self.outcome = outcome
        self.event.set()

    def take(self, seconds: float) -> Reply:
        if not self.event.wait(seconds) or self.outcome is None:
            raise Lost(f"no answer within {seconds:g} s")
        if isinstance(self.outcome, ParameterServerError):
            raise self.outcome
        return self.outcome


def _reason(code: int) -> Reason:
    try:
        return Reason(code)
    except ValueError:
        return Reason.MALFORMED


def _ignore(outcome: Reply | ParameterServerError) -> None:
    pass
