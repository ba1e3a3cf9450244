"""What a worker has asked for and not yet got: an operation is one call of the user's, made of one request a range."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trireme_worker.comm.ps import rounding
from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.frame import Kind
from trireme_worker.comm.ps.table import Table


class Operation:
    """`parts`: requests that it waits for. `landed`: brings home what they fetched, for the thread that waits."""

    def __init__(self, parts: int, landed: Callable[[], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._left = parts
        self._error: ParameterServerError | None = None
        self._done = threading.Event()
        self._landed = landed
        self._forget: Callable[[], object] | None = None
        if not parts:
            self._done.set()

    def finished(self) -> None:
        """One request was answered."""
        with self._lock:
            self._left -= 1
            done = self._left <= 0
        if done:
            self._done.set()
            self._settle()

    def forget(self, call: Callable[[], object]) -> None:
        """Calls it when it is over and nobody need wait for it: there is neither an error nor anything to land."""
        self._forget = call
        self._settle()

    def _settle(self) -> None:
        if self.over and self._error is None and self._landed is None and self._forget is not None:
            self._forget()

    def failed(self, error: ParameterServerError) -> None:
        with self._lock:
            self._error = self._error or error
        self._done.set()

    @property
    def over(self) -> bool:
        """It is done, or has failed."""
        return self._done.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """False when it is not done in time. Raises what went wrong."""
        if not self._done.wait(seconds):
            return False
        if self._error is not None:
            raise self._error
        if self._landed is not None:
            self._landed()
            self._landed = None
        return True


@dataclass(eq=False, slots=True)
class Request:
    """About one range. Sent again, with the same number, until it is answered."""

    table: Table
    index: int
    kind: Kind
    operation: Operation
    number: int = 0
    rate: float | None = None
    flags: int = 0
    meta: bytes = b""
    body: Sequence[memoryview] = ()
    """They keep the tensors in which they lie."""
    into: Sequence[memoryview] = ()
    answered: Callable[[int], None] | None = None
    """Called with the number that the server answers."""
    ended: Callable[[], None] | None = None
    """Called when it is sent no more: it was answered, or has failed."""
    renumbered: Callable[[int], None] | None = None
    """Called when a push gets another number."""
    last: Callable[[], tuple[int, bool]] | None = None
    """Of a pull: the worker's last push of the range, and whether it has ended."""
    received: Callable[[bytes], None] | None = None
    """Takes an answer's body that is not received in place. Raises BadFrame."""
    whole: Callable[[], list[memoryview]] | None = None
    """Makes the body of a filtered push with all its keys."""
    tries: int = 0
    since: float | None = None
    """When it first failed, monotonic seconds; None: it did not since it last got an answer."""

    def unpack(self) -> None:
        """The answer is rounded: it is received aside, and what it stands for written where it belongs."""
        into, self.into = self.into, ()
        if into:
            self.received = lambda body: rounding.unpack(self.table.pull_filter, body, into)

    def finished(self) -> None:
        """It was answered."""
        self._end()
        self.operation.finished()

    def failed(self, error: ParameterServerError) -> None:
        self._end()
        self.operation.failed(error)

    def _end(self) -> None:
        """Some of what it calls refers to it: the tensors would wait for the garbage collector, which counts objects
        and not bytes."""
        if self.ended is not None:
            self.ended()
        self.answered = self.ended = self.renumbered = self.last = self.received = self.whole = None

    @property
    def pushes(self) -> bool:
        return self.kind in (Kind.PUSH, Kind.PUSH_PULL)

    def __str__(self) -> str:
        return f"{self.kind.name.lower()} {self.number} of range {self.index} of table {self.table.name!r}"
