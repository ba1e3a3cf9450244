"""The answering end of one connection: reads requests, brings tensors where they belong, lets the server act.

A dense push of a Sync table that is the first of its step is received straight into the aggregate; any other into the
connection's own buffer. A request that must wait for others is answered later, from another thread.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trireme_worker.comm.ps import copies, filters, frame, memory, partition, rounding, tensors
from trireme_worker.comm.ps.chain import Told
from trireme_worker.comm.ps.consistency import Consistency
from trireme_worker.comm.ps.copies import Copy
from trireme_worker.comm.ps.errors import EMPTY, MOVING, BadFrame, Lost, ParameterServerError, Reason, Refused
from trireme_worker.comm.ps.filters import Pipeline
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.functions import Update
from trireme_worker.comm.ps.greeting import Caller
from trireme_worker.comm.ps.inventory import Inventory
from trireme_worker.comm.ps.outbox import Outbox, Outgoing
from trireme_worker.comm.ps.slot import Answer, Asked, Change, Push, Slot, Status
from trireme_worker.comm.ps.table import ITEM_BYTES, Table
from trireme_worker.comm.ps.transport import Wire

if TYPE_CHECKING:
    from trireme_worker.comm.ps.server import Server

log = logging.getLogger(__name__)

SCRATCH_STEP = 1024
"""Elements: ranges of a table differ by a few, and shall not take a buffer each."""


class Conversation:
    def __init__(self, server: Server, wire: Wire, caller: Caller) -> None:
        self.caller = caller
        self._server = server
        self._shard = server.shard
        self._wire = wire
        self._outbox = Outbox(wire, f"ps-answers-{caller.role}-{caller.index}")
        self._scratch: Tensor | None = None
        self._pipelines: dict[int, Pipeline] = {}
        self._workers: dict[Kind, Callable[[Header], None]] = {
            Kind.REGISTER: self._register,
            Kind.INITIALISE: self._initialise,
            Kind.PUSH: self._push,
            Kind.PUSH_PULL: self._push,
            Kind.PULL: self._pull,
            Kind.CLOCK: self._clock,
            Kind.CONSISTENCY: self._consistency,
            Kind.CHECKPOINT: self._checkpoint,
            Kind.BYE: self._bye,
            Kind.PING: self._ping,
        }
        self._servers: dict[Kind, Callable[[Header], None]] = {
            Kind.INVENTORY: self._inventory,
            Kind.FETCH: self._fetch,
            Kind.SNAPSHOT: self._snapshot,
            Kind.UPDATE: self._update,
            Kind.DISCARD: self._discard,
            Kind.PING: self._ping,
        }

    def run(self) -> None:
        """Until the peer goes, or says what cannot be understood. Raises Lost and BadFrame."""
        routes = self._servers if self.caller.role == "server" else self._workers
        while True:
            header = self._wire.receive()
            route = routes.get(header.kind)
            if route is None:
                raise BadFrame(f"a {self.caller.role} may not send {header.kind.name}")
            try:
                route(header)
            except Refused as refused:
                self._wire.drain()
                self.refuse(header.request, refused)

    def end(self, error: ParameterServerError) -> None:
        """Tells the peer why it is not listened to any more."""
        code = error.reason if isinstance(error, Refused) else Reason.MALFORMED
        with contextlib.suppress(Lost):
            self._wire.send(Header(Kind.REFUSED, code=code), str(error).encode())

    def close(self) -> None:
        self._wire.close()
        self._outbox.close()

    def join(self) -> None:
        self._outbox.join()

    # Answers, from any thread

    def answer(self, request: int, answer: Answer, slot: Slot) -> None:
        if answer.refused is not None:
            self.refuse(request, Refused(answer.refused, answer.text, answer.number))
        elif answer.values is None:
            self._done(request, answer.asked.number)
        else:
            values = answer.values
            header = Header(Kind.VALUES, request, number=answer.number if answer.asked.resumes else answer.asked.number)
            if slot.table.pull_filter:
                self._outbox.put(Outgoing(header, b"", rounding.pack(slot.table.pull_filter, values)))
                slot.give_back(values)
                return
            give_back = _giver(slot, values) if answer.asked.rows is None else _nothing
            self._outbox.put(Outgoing(header, b"", [memory.data(values)] if values.numel() else [], give_back))

    def refuse(self, request: int, refused: Refused) -> None:
        header = Header(Kind.REFUSED, request, number=refused.number, code=refused.reason)
        self._outbox.put(Outgoing(header, str(refused).encode()))

    def _done(self, request: int, number: int = 0, meta: bytes = b"") -> None:
        self._outbox.put(Outgoing(Header(Kind.DONE, request, number=number), meta))

    # Workers

    def _ping(self, header: Header) -> None:
        self._wire.drain()
        self._done(header.request)

    def _register(self, header: Header) -> None:
        data = self._bytes(header.meta)
        try:
            table = Table.decode(data)
        except ValueError as error:
            raise Refused(Reason.MALFORMED, str(error)) from error
        self._server.register(table)
        self._done(header.request)

    def _initialise(self, header: Header) -> None:
        slot = self._slot(header)
        self._expect(slot, header.body, len(slot.range) * ITEM_BYTES)
        values = torch.empty(len(slot.range))
        self._into(values)
        with slot.lock:
            self._server.initialise(slot, self._asked(header, values=False), values)

    def _push(self, header: Header) -> None:
        slot = self._slot(header)
        rule = self._shard.rule_of(slot.table)
        placed = borrowed = None
        if header.flags & frame.FILTERED:
            rows, gradient = self._filtered(slot, header)
        elif header.flags & frame.ROWS:
            rows, gradient = self._sparse(slot, header)
        else:
            rows = None
            self._expect(slot, header.body, len(slot.range) * ITEM_BYTES)
            borrowed = self._wire.borrow()
            if borrowed is None:
                placed, gradient = self._dense(slot, header, rule)
            else:
                gradient = torch.frombuffer(borrowed, dtype=torch.float32)
        try:
            if slot.table.nan == "refuse":
                what = f"push {header.number} of {slot.table.name!r} by worker {self.caller.index}"
                tensors.check_finite(gradient, what, slot.range.start)
            with slot.lock:
                self._turn(slot, header.number, placed)
                if borrowed is not None and slot.chained:
                    gradient = gradient.clone()  # it is sent on
                push = Push(self._asked(header, header.kind is Kind.PUSH_PULL, rows), self.caller.session, gradient,
                            rows, header.rate, placed is not None)  # fmt: skip
                if self._server.push(slot, push):
                    self._scratch = None
        except Refused:
            with slot.lock:
                slot.abandon(self.caller.index, header.number)
            raise
        finally:
            if borrowed is not None:
                self._wire.give_back()

    def _turn(self, slot: Slot, number: int, placed: Tensor | None) -> None:
        """Waits until nobody receives into the aggregate; makes sure that this worker may push. Holds the lock."""
        while placed is None and slot.filling(number):
            slot.lock.wait()
        if not self._shard.current(self.caller):
            raise Refused(Reason.RETIRED, f"worker {self.caller.index} has a successor; this process must end")
        if slot.status is Status.PRIMARY:
            self._shard.join(slot, self.caller.index)

    def _dense(self, slot: Slot, header: Header, rule: Consistency) -> tuple[Tensor | None, Tensor]:
        with slot.lock:
            placed = slot.place(self.caller.index, header.number, rule.mode)
        gradient = self._buffer(len(slot.range)) if placed is None else placed
        try:
            self._into(gradient)
        except (Lost, BadFrame):
            with slot.lock:
                slot.abandon(self.caller.index, header.number)
            raise
        return placed, gradient

    def _sparse(self, slot: Slot, header: Header) -> tuple[Tensor, Tensor]:
        rows = tensors.rows(self._bytes(header.meta), len(slot.range) // slot.table.row)
        self._expect(slot, header.body, len(rows) * slot.table.row * ITEM_BYTES)
        gradient = torch.empty(len(rows), slot.table.row)
        self._into(gradient)
        return rows, gradient

    def _filtered(self, slot: Slot, header: Header) -> tuple[Tensor | None, Tensor]:
        table = slot.table
        pipeline = self._pipelines.setdefault(table.number, filters.chain(table.filters))
        key = partition.range_key(table.name, slot.index)
        most = filters.most_bytes(len(slot.range))
        if header.body > most:
            raise Refused(Reason.MALFORMED, f"a push of {header.body} bytes to a range that takes {most} at most")
        try:
            packed = filters.unpack(self._bytes(header.body))
            message = pipeline.decode(packed, filters.Context(key, header.number, len(slot.range), table.row))
        except filters.UnknownKeys as error:
            raise Refused(Reason.UNKNOWN_KEYS, str(error)) from error
        except filters.BadMessage as error:
            raise Refused(Reason.MALFORMED, str(error)) from error
        return message.indices, message.values

    def _pull(self, header: Header) -> None:
        slot = self._slot(header)
        data = self._bytes(header.meta)
        rows = tensors.rows(data, len(slot.range) // slot.table.row) if header.flags & frame.ROWS else None
        with slot.lock:
            if slot.status is Status.PRIMARY:
                header = _possible(header, self._shard.join(slot, self.caller.index))
                if slot.values is None and header.number:
                    raise Refused(Reason.NOT_READY, EMPTY)
            self._server.act(slot, slot.pull(self._asked(header, True, rows), self._shard.rule_of(slot.table)))

    def _clock(self, header: Header) -> None:
        slot = self._slot(header)
        with slot.lock:
            if slot.status is not Status.PRIMARY:
                raise Refused(Reason.NOT_READY, MOVING)
            number = self._shard.join(slot, self.caller.index)
        self._done(header.request, number)

    def _consistency(self, header: Header) -> None:
        text = self._bytes(header.meta).decode(errors="replace")
        try:
            rule = Consistency.parse(text)
        except ValueError as error:
            raise Refused(Reason.MALFORMED, str(error)) from error
        self._server.change_rule(header.number, rule)
        self._done(header.request)

    def _checkpoint(self, header: Header) -> None:
        """Answered by the thread that saves: meanwhile this one answers pings."""
        self._wire.drain()

        def saved(outcome: Path | Refused) -> None:
            if isinstance(outcome, Refused):
                self.refuse(header.request, outcome)
            else:
                self._done(header.request, meta=str(outcome).encode())

        self._server.ask_checkpoint(saved)

    def _bye(self, header: Header) -> None:
        self._wire.drain()
        self._server.bye(self.caller)
        self._done(header.request)

    # Servers

    def _inventory(self, header: Header) -> None:
        self._wire.drain()
        self._shard.check(header.view)
        self._done(header.request, meta=Inventory.of(self._shard).encode())

    def _fetch(self, header: Header) -> None:
        slot = self._slot(header)
        with slot.lock:
            if slot.values is None:
                raise Refused(Reason.NOT_READY, "the range has no values here")
            copy, parts = copies.of(slot)
        self._outbox.put(Outgoing(Header(Kind.VALUES, header.request), copy.encode(), copies.body(parts)))

    def _snapshot(self, header: Header) -> None:
        self._shard.check(header.view)
        copy = Copy.decode(self._bytes(header.meta))
        parts = [] if header.flags & frame.RETAG else copies.room(copy)
        if header.body != sum(part.numel() for part in parts) * ITEM_BYTES:
            raise BadFrame(f"a copy of {header.body} bytes where {copy.size} belong")
        for part in parts:
            self._into(part)
        self._server.follow(copy, parts, header.view)
        self._done(header.request)

    def _update(self, header: Header) -> None:
        slot = self._slot(header)
        told = Told.decode(self._bytes(header.meta))
        rows = None
        if told.rows is not None:
            rows = tensors.rows(self._bytes(told.rows * tensors.INDEX_BYTES), len(slot.range) // slot.table.row)
            gradient = torch.empty(len(rows), slot.table.row)
        else:
            gradient = self._buffer(len(slot.range))
        self._expect(slot, self._wire.left, gradient.numel() * ITEM_BYTES)
        self._into(gradient)
        context = Update(told.step, told.staleness, header.rate)
        change = Change(header.number, told.clock, context, gradient, rows)
        with slot.lock:
            if slot.tag != header.view or not slot.follow(change):
                raise Refused(Reason.NOT_READY, f"update {header.number} does not follow {slot.version} here")
        if told.rest:
            self._scratch = None
            self._server.chain.forward(slot, change, told.rest, self._relay(header.request))
        else:
            self._done(header.request)

    def _relay(self, request: int) -> Callable[[Exception | None], None]:
        def done(error: Exception | None) -> None:
            if error is None:
                self._done(request)
            else:
                self.refuse(request, Refused(Reason.NOT_READY, f"further down the chain: {error}"))

        return done

    def _discard(self, header: Header) -> None:
        self._wire.drain()
        self._server.discard((header.table, header.index), header.view)
        self._done(header.request)

    # Reading

    def _slot(self, header: Header) -> Slot:
        self._shard.check(header.view)
        return self._shard.slot((header.table, header.index))

    def _asked(self, header: Header, values: bool, rows: Tensor | None = None) -> Asked:
        """Only a pull of rows is answered with rows; a push of rows is answered with the same ones."""
        resumes = header.kind is Kind.PULL and bool(header.flags & frame.RESUMES)
        return Asked((self, header.request), self.caller.index, header.number, values, rows, resumes)

    def _expect(self, slot: Slot, size: int, expected: int) -> None:
        if size != expected:
            raise Refused(
                Reason.MALFORMED,
                f"range {slot.index} of table {slot.table.name!r} takes {expected} bytes, {size} were sent",
            )

    def _buffer(self, elements: int) -> Tensor:
        if self._scratch is None or self._scratch.numel() < elements:
            self._scratch = torch.empty(-(-elements // SCRATCH_STEP) * SCRATCH_STEP)
        return self._scratch[:elements]

    def _bytes(self, size: int) -> bytearray:
        return self._wire.receive_bytes(size)

    def _into(self, tensor: Tensor) -> None:
        if tensor.numel():
            self._wire.receive_into([memory.data(tensor)])


def _possible(header: Header, last: int) -> Header:
    """A pull that does not wait for what will not come. `last`: the worker's last push; the next may be under way.

    Raises Refused when the worker must number it anew: this server was restored, and had more pushes before.
    """
    if header.number <= last:
        return header
    if header.flags & frame.RESUMES:
        return header._replace(number=last)
    if header.flags & frame.SETTLED:
        raise Refused(Reason.GAP, f"push {header.number} was lost", last)
    if header.number > last + 1:
        raise Refused(Reason.NOT_READY, "the push before it gets another number")
    return header


def _giver(slot: Slot, values: Tensor) -> Callable[[], None]:
    def give_back() -> None:
        with slot.lock:
            slot.give_back(values)

    return give_back


def _nothing() -> None:
    pass
