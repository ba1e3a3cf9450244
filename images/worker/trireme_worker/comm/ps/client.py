"""A worker's end: tables, push and pull.

Pushes and pulls go out range by range, all under way at once, and land where they belong. What is pushed must not be
changed, and what is pulled into must not be read, before `wait` has returned (as MPI_Isend and MPI_Irecv).
A tensor of a GPU is read in the order of the stream that is current where the push is called, and written in that of
the stream that is current where `wait` is.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

import torch
from torch import Tensor

from trireme_worker.comm.ps import frame, memory, rowparts
from trireme_worker.comm.ps.channel import Reply
from trireme_worker.comm.ps.connections import CLOSE_SECONDS, Connections
from trireme_worker.comm.ps.consistency import Consistency
from trireme_worker.comm.ps.courier import Courier
from trireme_worker.comm.ps.errors import Lost, ParameterServerError
from trireme_worker.comm.ps.filters import Traffic
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.greeting import Caller
from trireme_worker.comm.ps.memory import Bound, Layout, Staging, Tensors
from trireme_worker.comm.ps.operation import Operation, Request
from trireme_worker.comm.ps.partition import Range
from trireme_worker.comm.ps.registered import Registered
from trireme_worker.comm.ps.rowparts import RowsPart
from trireme_worker.comm.ps.sieve import Sieve
from trireme_worker.comm.ps.table import Table
from trireme_worker.comm.ps.view import Directory, Watch
from trireme_worker.comm.ps.worker import Worker

log = logging.getLogger(__name__)

Out = TypeVar("Out", bound=Tensors)

BARRIER = "trireme.barrier"
"""A table of one element in Sync: a push of it is answered when everybody has pushed."""

SAVE_SECONDS = 3600.0
"""For a disk. A server that is lost meanwhile is told by its connection."""


class Client:
    def __init__(self, worker: Worker, directory: Directory) -> None:
        """Waits for the servers. Raises ParameterServerError when there are none."""
        self.rank, self.size = worker.rank, worker.size
        self._lock = threading.Lock()
        self._tables: dict[str, Registered] = {}
        self._operations: dict[int, Operation] = {}
        self._timestamps = itertools.count(1)
        caller = Caller("worker", worker.rank, secrets.token_hex(8), worker.size, worker.generation)
        self._watch = Watch(directory, worker.backups)
        self._connections = Connections(worker.token, caller, self._registered_tables)
        placement = self._watch.complete(worker.assembly_seconds)
        if not placement.view.servers:
            self._watch.close()
            raise ParameterServerError(
                f"no parameter server has come up within {worker.assembly_seconds:g} s: are the server pods running?"
            )
        self._courier = Courier(self._watch, self._connections, worker.patience_seconds)

    # Tables

    def register(
        self,
        key: str,
        like: Tensors | Sequence[int],
        *,
        row: int = 1,
        function: Mapping[str, Any] | None = None,
        reduction: str = "mean",
        filters: Sequence[str | Mapping[str, Any]] = (),
        nan: str = "refuse",
        consistency: str = "",
        pull_filter: str = "",
        root_rank: int = 0,
    ) -> None:
        """Makes a table known to all servers, and its values those of `root_rank` unless the servers have some.

        key: name, the same on all workers. like: a tensor, several that make one table in this order, or a shape
        (zeros). row: elements of a row, for push_rows and pull_rows. function: what servers do with a push, e.g.
        {"name": "sgd", "lr": 0.1}; default: add. reduction: "mean" or "sum" of the pushes of a step (Sync). filters:
        what pushes go through on their way. nan: "refuse" or "pass". consistency: of this table alone. pull_filter: how
        servers round what they send, "fp16", "bf16" or "int8"; their own values stay as they are.

        Every worker calls it, with the same arguments. Raises ParameterServerError when another worker's differ.
        """
        tensors = memory.tensors(like)
        memory.check_real(tensors)
        layout = Layout([tensor.numel() for tensor in tensors])
        table = Table(key, layout.length, row, dict(function or {"name": "add"}), reduction, nan,
                      tuple(filters), consistency, pull_filter)  # fmt: skip
        try:
            table.check()
        except ValueError as error:
            raise ParameterServerError(f"register: {error}") from error
        registered = Registered(table, layout, Staging(layout), Staging(layout),
                                Sieve(table, self.rank), [0] * len(table.ranges))  # fmt: skip
        with self._lock:
            if key in self._tables:
                raise ParameterServerError(f"register: table {key!r} is registered already")
            self._tables[key] = registered
        self._introduce(table)
        self._ask_clocks(registered)
        if self.rank == root_rank:
            self._run(registered, Kind.INITIALISE, outgoing=tensors).wait()

    # Dense

    def push(self, key: str, tensor: Tensors, *, rate: float | None = None) -> int:
        """Sends a gradient, shaped as registered. rate: learning rate of this push (schedules). Returns a timestamp."""
        registered = self._get(key)
        return self._stamp(self._run(registered, Kind.PUSH, outgoing=self._fit(registered, tensor), rate=rate))

    @overload
    def pull(self, key: str) -> Tensor: ...

    @overload
    def pull(self, key: str, out: Out) -> Out: ...

    def pull(self, key: str, out: Tensors | None = None) -> Tensors:
        """The values, when the consistency allows it: `out`, shaped as registered, or a new flat tensor."""
        target = torch.empty(self._get(key).table.length) if out is None else out
        self.wait(self.start_pull(key, target))
        return target

    def start_pull(self, key: str, out: Tensors) -> int:
        """The same without waiting. Returns a timestamp."""
        registered = self._get(key)
        return self._stamp(self._run(registered, Kind.PULL, incoming=self._fit(registered, out)))

    def push_pull(self, key: str, tensor: Tensors, out: Tensors, *, rate: float | None = None) -> int:
        """A push that is answered with the new values, in one message a range each way. Returns a timestamp."""
        registered = self._get(key)
        outgoing, incoming = self._fit(registered, tensor), self._fit(registered, out)
        return self._stamp(self._run(registered, Kind.PUSH_PULL, outgoing=outgoing, incoming=incoming, rate=rate))

    # Some ranges of a table; tensors are shaped as registered. All return a timestamp.

    def push_ranges(self, key: str, tensors: Sequence[Tensor], indices: Sequence[int], rate: float | None) -> int:
        registered = self._get(key)
        return self._stamp(self._run(registered, Kind.PUSH, indices, outgoing=tensors, rate=rate))

    def pull_ranges(self, key: str, out: Sequence[Tensor], indices: Sequence[int]) -> int:
        return self._stamp(self._run(self._get(key), Kind.PULL, indices, incoming=out))

    def push_pull_ranges(
        self, key: str, tensors: Sequence[Tensor], out: Sequence[Tensor], indices: Sequence[int], rate: float | None
    ) -> int:
        registered = self._get(key)
        return self._stamp(self._run(registered, Kind.PUSH_PULL, indices, outgoing=tensors, incoming=out, rate=rate))

    def skip_ranges(self, key: str, indices: Sequence[int]) -> int:
        """Pushes nothing: the step counts this worker in, with zeros. If no worker has more, the ranges stay as they
        are, the state of their function too."""
        registered = self._get(key)
        parts = rowparts.empty(registered.table, indices)
        return self._stamp(self._run_rows(registered, Kind.PUSH, parts, None))

    def ranges(self, key: str) -> Sequence[Range]:
        """How a table is cut."""
        return self._get(key).table.ranges

    def traffic(self, key: str) -> Mapping[str, Traffic]:
        """Bytes of this worker's pushes before and after each of the table's filters."""
        return self._get(key).sieve.traffic

    def pushes(self, key: str) -> int:
        """Pushes of this worker, its predecessors' included, that every range has."""
        return min(self._get(key).numbers)

    def resume(self, tables: Mapping[str, Tensors]) -> int:
        """Pulls several tables, by their keys, as they were after one and the same push of this worker.

        A predecessor that died in the middle of a step left some ranges with its push and some without. In Sync the
        servers still have the values before that step: the caller takes it again, from the same values, and its pushes
        count where they are missing. Returns how many pushes of this worker all ranges have.
        """
        low = min(self.pushes(key) for key in tables)
        operations = []
        for key, out in tables.items():
            registered = self._get(key)
            registered.numbers[:] = [min(number, low) for number in registered.numbers]
            incoming = self._fit(registered, out)
            operations.append(self._run(registered, Kind.PULL, incoming=incoming, resumes=True))
        for operation in operations:
            operation.wait()
        return min(self.pushes(key) for key in tables)

    # Rows

    def push_rows(self, key: str, rows: Tensor, values: Tensor, *, rate: float | None = None) -> int:
        """Sends the gradient of some rows: rows int64 [k], values [k, row]. A row may be named twice: the sum counts.

        It counts as a push of the whole table, whose other rows stay as they are. Returns a timestamp.
        """
        registered = self._get(key)
        memory.check_real([values])
        parts = rowparts.split(registered.table, rowparts.checked(registered.table, rows, values.shape), values)
        return self._stamp(self._run_rows(registered, Kind.PUSH, parts, rate))

    def pull_rows(self, key: str, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """The values of some rows: rows int64 [k] -> [k, row]; into `out` if given."""
        registered = self._get(key)
        shape = (len(rows), registered.table.row)
        target = torch.empty(shape) if out is None else out
        rows = rowparts.checked(registered.table, rows, target.shape)
        parts = [part for part in rowparts.split(registered.table, rows, torch.empty(shape)) if len(part.rows)]
        operation = self._run_rows(registered, Kind.PULL, parts, None)
        operation.wait()
        for part in parts:
            target[part.places] = part.values.to(target.device, target.dtype)
            registered.sieve.remember_rows(part.index, part.rows, part.values)
        return target

    # The rest

    def wait(self, timestamp: int, seconds: float | None = None) -> bool:
        """Until what the timestamp stands for is done. False when that is not so within `seconds`.

        Raises ParameterServerError when it failed, the first time.
        """
        operation = self._operations.get(timestamp)
        if operation is None:
            return True
        try:
            return operation.wait(seconds)
        finally:
            if operation.over:
                self._operations.pop(timestamp, None)

    def wait_all(self, timestamps: Iterable[int]) -> None:
        """Until all are done. When one has failed, nobody waits for the others any more, nor does `shutdown`.

        Raises ParameterServerError.
        """
        operations = [self._operations.pop(timestamp, None) for timestamp in timestamps]
        for operation in operations:
            if operation is not None:
                operation.wait()

    def set_consistency(self, consistency: str) -> None:
        """Changes the job's rule while it runs: "Sync", "Bounded:4" or "Async". One worker says it, for all."""
        Consistency.parse(consistency)
        self._ask_all(Header(Kind.CONSISTENCY, number=time.time_ns()), consistency.encode())

    def barrier(self) -> None:
        """Returns when every worker has called it."""
        if BARRIER not in self._tables:
            self.register(BARRIER, [1], consistency="Sync", reduction="sum")
        self.wait(self.push(BARRIER, torch.zeros(1)))

    def checkpoint(self) -> list[str]:
        """Every server saves what it has, now. Returns the files. Raises ParameterServerError."""
        return [reply.meta.decode() for reply in self._ask_all(Header(Kind.CHECKPOINT), seconds=SAVE_SECONDS)]

    def shutdown(self, goodbye: bool = True) -> None:
        """Waits for what is under way. `goodbye`: then nobody waits for this worker any more."""
        try:
            for timestamp in list(self._operations):
                self.wait(timestamp)
        finally:
            self.close(goodbye)

    def close(self, goodbye: bool = False) -> None:
        """Ends without waiting for what is under way, but for its threads."""
        self._watch.close()
        self._courier.close()
        self._connections.close(goodbye)
        self._courier.join(CLOSE_SECONDS)

    # Inside

    def _registered_tables(self) -> list[Table]:
        with self._lock:
            return [registered.table for registered in self._tables.values()]

    def _get(self, key: str) -> Registered:
        try:
            return self._tables[key]
        except KeyError:
            known = ", ".join(sorted(self._tables)) or "none"
            raise ParameterServerError(f"table {key!r:.100} is not registered (registered: {known:.500})") from None

    def _fit(self, registered: Registered, tensors: Tensors) -> list[Tensor]:
        """Raises ParameterServerError for tensors that are not shaped as registered, or complex."""
        found = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        memory.check_real(found)
        sizes, expected = [tensor.numel() for tensor in found], registered.layout.sizes
        if sizes != expected and (len(found) != 1 or sizes != [registered.table.length]):
            raise ParameterServerError(
                f"table {registered.table.name!r} was registered with {expected} elements, got {sizes}"
            )
        return found

    def _introduce(self, table: Table) -> None:
        for serving in self._watch.placement.view.servers:
            try:
                self._connections.make(serving).ask(Header(Kind.REGISTER), table.encode())
            except Lost as error:
                log.debug("server %d will hear of %s when it is there: %s", serving.index, table.name, error)
            except ParameterServerError:
                with self._lock:
                    self._tables.pop(table.name, None)
                raise

    def _ask_clocks(self, registered: Registered) -> None:
        table = registered.table
        operation = Operation(len(table.ranges))
        for index in range(len(table.ranges)):
            self._courier.send(Request(table, index, Kind.CLOCK, operation, answered=registered.numbered(index)))
        operation.wait()

    def _ask_all(self, header: Header, meta: bytes = b"", seconds: float = 30.0) -> list[Reply]:
        servers = self._watch.placement.view.servers
        return [self._connections.make(serving).ask(header, meta, seconds=seconds) for serving in servers]

    def _stamp(self, operation: Operation) -> int:
        timestamp = next(self._timestamps)
        self._operations[timestamp] = operation
        operation.forget(lambda: self._operations.pop(timestamp, None))
        return timestamp

    def _run(
        self,
        registered: Registered,
        kind: Kind,
        indices: Sequence[int] | None = None,
        *,
        outgoing: Sequence[Tensor] = (),
        incoming: Sequence[Tensor] = (),
        rate: float | None = None,
        resumes: bool = False,
    ) -> Operation:
        """One request for each range (all by default)."""
        table = registered.table
        indices = range(len(table.ranges)) if indices is None else indices
        out, back = (
            Bound(outgoing, registered.staging(outgoing)),
            Bound(incoming, registered.staging(incoming, back=True)),
        )

        def land() -> None:
            for index in indices:
                back.land(table.ranges[index])
                registered.sieve.remember(index, back)

        operation = Operation(len(indices), land if incoming else None)
        for index in indices:
            request = Request(table, index, kind, operation, rate=rate)
            if request.pushes:
                registered.take_turn(request)
            part = table.ranges[index]
            request.number = registered.numbers[index]
            if resumes:
                request.flags, request.answered = frame.RESUMES, registered.numbered(index)
            elif kind is Kind.PULL:
                request.last = registered.last(index)
            request.body = out.outgoing(part) if outgoing else ()
            request.into = back.incoming(part) if incoming else ()
            if table.pull_filter:
                request.unpack()
            if request.pushes and table.filters:
                registered.sieve.dense(request)
            self._courier.send(request)
        return operation

    def _run_rows(self, registered: Registered, kind: Kind, parts: Sequence[RowsPart], rate: float | None) -> Operation:
        operation = Operation(len(parts))
        for part in parts:
            request = Request(registered.table, part.index, kind, operation, rate=rate, flags=frame.ROWS)
            if request.pushes:
                registered.take_turn(request)
            request.number = registered.numbers[part.index]
            if not request.pushes:
                request.last = registered.last(part.index)
            request.meta = bytes(memory.data(part.rows))
            data = memory.data(part.values)
            request.body = [data] if request.pushes and len(data) else ()
            request.into = () if request.pushes or not len(data) else [data]
            if registered.table.pull_filter:
                request.unpack()
            if request.pushes and registered.table.filters:
                registered.sieve.rows(request, part.rows, part.values)
            self._courier.send(request)
        return operation
