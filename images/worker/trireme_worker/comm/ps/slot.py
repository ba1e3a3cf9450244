"""One range on a server: its values, its clock, the pushes that wait for others. No sockets, no threads, no time.

Every method is one event and returns its effects: answers to give, and at most one change to send down the chain. The
caller holds the slot's lock. What is applied is committed when the chain has it; only then is anybody told. The tensors
are in `held`.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from torch import Tensor

from trireme_worker.comm.ps import consistency, held
from trireme_worker.comm.ps.buffers import Buffers
from trireme_worker.comm.ps.consistency import Clock, Consistency, Mode, Verdict
from trireme_worker.comm.ps.errors import EMPTY, MOVING, Reason
from trireme_worker.comm.ps.functions import BadFunction, Update
from trireme_worker.comm.ps.held import Held, Total
from trireme_worker.comm.ps.table import Table


class Status(Enum):
    FROZEN = "frozen"
    """Its view is not settled: it changes nothing and answers nobody."""
    PRIMARY = "primary"
    BACKUP = "backup"


@dataclass(frozen=True, eq=False, slots=True)
class Asked:
    """Who waits for an answer, and what it is to hold."""

    token: Hashable
    worker: int
    number: int
    values: bool = False
    rows: Tensor | None = None
    """int64 [k]: only these rows of the range."""
    resumes: bool = False
    """It takes up its predecessor's step: the values after push `number`, though the next one was applied already."""


@dataclass(frozen=True, slots=True)
class Answer:
    asked: Asked
    values: Tensor | None = None
    """Lent, when it is the whole range: `Slot.give_back` when it is sent."""
    refused: Reason | None = None
    text: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One update, as the chain repeats it: the same function on the same bytes."""

    version: int
    clock: Mapping[str, Any]
    context: Update
    gradient: Tensor
    rows: Tensor | None = None
    own: bool = False
    """`gradient` is the slot's buffer, to be given back by `commit`."""


@dataclass(slots=True)
class Effects:
    answers: list[Answer] = field(default_factory=list)
    change: Change | None = None


@dataclass(slots=True)
class Aggregate:
    """Pushes of one step that wait for those of other workers."""

    gradient: Tensor | None = None
    rows: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    asked: dict[int, Asked] = field(default_factory=dict)
    again: list[Asked] = field(default_factory=list)
    """The same pushes, delivered once more: answered, not added."""
    sessions: dict[int, str] = field(default_factory=dict)
    rates: dict[int, float | None] = field(default_factory=dict)
    filling: int | None = None
    """The worker whose push is being received straight into `gradient`."""


@dataclass(frozen=True, slots=True)
class Push:
    asked: Asked
    session: str
    gradient: Tensor
    """Flat float32, or [k, row] with `rows`."""
    rows: Tensor | None = None
    rate: float | None = None
    placed: bool = False
    """It was received into what `place` returned."""


class Slot:
    def __init__(self, table: Table, index: int, buffers: Buffers | None = None) -> None:
        self.table = table
        self.index = index
        self.range = table.ranges[index]
        self.lock = threading.Condition()
        self.status = Status.FROZEN
        self.tag = 0
        """The view in which this copy was last known to be whole; with `version`, which of two copies is the later."""
        self.version = 0
        """Updates applied."""
        self.committed = -1
        """Updates that the chain has."""
        self.clock = Clock()
        self.chained = False
        """Whether backups repeat its changes; of a primary."""
        self._held = Held(table, len(self.range), buffers or Buffers())
        self._pending: dict[int, Aggregate] = {}
        self._uncommitted: list[tuple[int, Asked]] = []
        self._pulls: list[Asked] = []
        self._seen: dict[int, int] = {}

    @property
    def values(self) -> Tensor | None:
        """None until a worker initialises the table."""
        return self._held.values

    @property
    def state(self) -> dict[str, Tensor]:
        return self._held.state

    # What arrives

    def initialise(self, asked: Asked, values: Tensor, rule: Consistency) -> Effects:
        """Gives an empty slot its values, which it keeps; the caller takes them down the chain. Else does nothing."""
        if self.status is not Status.PRIMARY:
            return self._refuse(asked, Reason.NOT_READY, MOVING)
        if self.values is None:
            try:
                self._held.begin(values)
            except BadFunction as error:
                return self._refuse(asked, Reason.FAILED, f"table {self.table.name!r}: {error}")
        return self._when_committed(asked, rule)

    def place(self, worker: int, number: int, mode: Mode) -> Tensor | None:
        """Where a dense push may be received straight away: an aggregate that is still empty, from now on its own."""
        if self.status is not Status.PRIMARY or self.values is None or mode is not Mode.SYNC:
            return None
        if number in self._pending or self.clock.admit(worker, number) is not Verdict.APPLY:
            return None
        gradient = self._held.room()
        self._pending[number] = Aggregate(gradient, filling=worker)
        return gradient

    def abandon(self, worker: int, number: int) -> None:
        """The push for which `place` made room did not come."""
        aggregate = self._pending.get(number)
        if aggregate is not None and aggregate.filling == worker:
            del self._pending[number]
            if aggregate.gradient is not None:
                self._held.free(aggregate.gradient)
            self._wake()

    def filling(self, number: int) -> bool:
        aggregate = self._pending.get(number)
        return aggregate is not None and aggregate.filling is not None

    def push(self, push: Push, rule: Consistency) -> Effects:
        asked = push.asked
        aggregate = self._pending.get(asked.number)
        if push.placed and (aggregate is None or aggregate.gradient is not push.gradient):
            return self._refuse(asked, Reason.NOT_READY, "the step was begun anew")
        if self.status is not Status.PRIMARY or self.values is None:
            return self._refuse(asked, Reason.NOT_READY, EMPTY if self.status is Status.PRIMARY else MOVING)
        verdict = self.clock.admit(asked.worker, asked.number)
        if verdict is Verdict.GAP:
            return self._refuse(asked, Reason.GAP, "a push is missing", self.clock.get(asked.worker))
        if verdict is Verdict.DUPLICATE:
            return self._when_committed(asked, rule)
        if aggregate is not None and asked.worker in aggregate.asked:
            aggregate.again.append(asked)
            return Effects()
        behind = {worker for worker in self.clock.members if self.clock.get(worker) < asked.number}
        alone = rule.mode is not Mode.SYNC or behind == {asked.worker}
        if alone and aggregate is None:
            return self._apply({asked.worker: asked}, Total(push.gradient, push.rows), push.rate, rule)
        aggregate = self._pending.setdefault(asked.number, Aggregate())
        self._add(aggregate, push)
        return self._complete(asked.number, rule, at_once=rule.mode is not Mode.SYNC)

    def pull(self, asked: Asked, rule: Consistency) -> Effects:
        if self.status is not Status.PRIMARY:
            return self._refuse(asked, Reason.NOT_READY, MOVING)
        self._pulls.append(asked)
        return Effects(self._served(rule))

    def follow(self, change: Change) -> bool:
        """A backup repeats a change of its primary. False when it is not the next one."""
        if self.status is not Status.BACKUP or self.values is None or change.version != self.version + 1:
            return False
        remember = len(self.clock.members) > 1
        self._held.update(Total(change.gradient, change.rows), change.context, remember)
        self.clock = Clock.of(dict(change.clock))
        self.version = self.committed = change.version
        return True

    def commit(self, version: int, rule: Consistency, change: Change | None = None) -> Effects:
        """The chain has everything up to `version`. `change`: one whose gradient nobody needs any more."""
        if change is not None and change.own and change.rows is None:
            self._held.free(change.gradient)
        self.committed = max(self.committed, version)
        ready = [asked for at, asked in self._uncommitted if at <= self.committed]
        self._uncommitted = [(at, asked) for at, asked in self._uncommitted if at > self.committed]
        self._pulls += [asked for asked in ready if asked.values]
        return Effects([Answer(asked) for asked in ready if not asked.values] + self._served(rule))

    # Who is there

    def join(self, worker: int) -> int:
        """A worker is there (again): its next push is one more than what is returned."""
        if worker in self.clock.members:
            return self.clock.get(worker)
        return self.clock.join(worker, self.clock.slowest())

    def leave(self, worker: int, rule: Consistency) -> Effects:
        """Nobody waits for this worker any more."""
        self.clock.leave(worker)
        return self.reconsider(rule)

    def retire(self, worker: int, session: str) -> Effects:
        """A worker has a successor: what waits of it is dropped, and what was added up with it must come again."""
        effects = Effects()
        for number, aggregate in list(self._pending.items()):
            if aggregate.sessions.get(worker, session) != session and aggregate.filling is None:
                del self._pending[number]
                waiting = [*aggregate.asked.values(), *aggregate.again]
                again = [asked for asked in waiting if asked.worker != worker]
                effects.answers += [Answer(asked, refused=Reason.NOT_READY, text="push again") for asked in again]
        return effects

    def reconsider(self, rule: Consistency) -> Effects:
        """After a change of the rule or of who is waited for: what can go on, goes on. Call again while it changes."""
        for number, aggregate in sorted(self._pending.items()):
            if aggregate.filling is None:
                effects = self._complete(number, rule, at_once=rule.mode is not Mode.SYNC)
                if effects.change is not None or effects.answers:
                    return effects
        return Effects(self._served(rule))

    # Views

    def freeze(self) -> None:
        self.status = Status.FROZEN
        self._wake()

    def drop(self, reason: Reason, text: str) -> Effects:
        """Forgets everybody who waits: this server is not their primary any more."""
        waiting = [asked for each in self._pending.values() for asked in [*each.asked.values(), *each.again]]
        waiting += [asked for _, asked in self._uncommitted] + self._pulls
        self._pending, self._uncommitted, self._pulls = {}, [], []
        self._wake()
        return Effects([Answer(asked, refused=reason, text=text) for asked in waiting])

    def lend(self) -> Tensor:
        """The values, which stay as they are until they are given back."""
        return self._held.lend()

    def give_back(self, values: Tensor) -> None:
        """Lent values were sent."""
        self._held.give_back(values)

    def install(self, values: Tensor, state: dict[str, Tensor], clock: Clock, version: int, tag: int) -> None:
        """Becomes a copy of another server's slot, or of a checkpoint."""
        self._held.install(values, state)
        self.clock, self.tag, self._seen = clock, tag, {}
        self.version = self.committed = version

    # Inside

    def _wake(self) -> None:
        """Those who wait for an aggregate to be filled look again."""
        with self.lock:
            self.lock.notify_all()

    def _add(self, aggregate: Aggregate, push: Push) -> None:
        worker = push.asked.worker
        if push.placed:
            aggregate.filling = None
            self._wake()
        elif push.rows is not None:
            aggregate.rows.append((push.rows, push.gradient.clone()))
        elif aggregate.gradient is None:
            aggregate.gradient = self._held.room().copy_(push.gradient)
        else:
            aggregate.gradient.add_(push.gradient)
        aggregate.asked[worker] = push.asked
        aggregate.sessions[worker] = push.session
        aggregate.rates[worker] = push.rate

    def _complete(self, number: int, rule: Consistency, at_once: bool = False) -> Effects:
        aggregate = self._pending[number]
        behind = {worker for worker in self.clock.members if self.clock.get(worker) < number}
        ready = all(self.clock.get(worker) == number - 1 for worker in aggregate.asked)
        if not aggregate.asked or not ready or not (at_once or behind <= set(aggregate.asked)):
            return Effects()
        del self._pending[number]
        gradient, rows = held.summed(aggregate.gradient, aggregate.rows, self.table.row)
        scale = 1 / len(aggregate.asked) if self.table.reduction == "mean" else 1.0
        rate = aggregate.rates[min(aggregate.asked)]
        effects = self._apply(aggregate.asked, Total(gradient, rows, scale, own=True), rate, rule)
        self._uncommitted += [(self.version, asked) for asked in aggregate.again]
        return effects

    def _apply(self, asked: dict[int, Asked], total: Total, rate: float | None, rule: Consistency) -> Effects:
        staleness = max(self.version - self._seen.get(worker, self.version) for worker in asked)
        context = Update(self.version + 1, staleness, rate)
        remember = rule.mode is Mode.SYNC and len(self.clock.members) > 1
        try:
            used = self._held.update(total, context, remember, keep=self.chained)
        except Exception as error:  # a user's function may raise anything; its workers are to know
            text = f"table {self.table.name!r}: update function {self.table.function['name']} failed: {error!r}"
            return Effects([Answer(one, refused=Reason.FAILED, text=text) for one in asked.values()])
        self.version += 1
        for worker, one in asked.items():
            self.clock.advance(worker, one.number)
            self._uncommitted.append((self.version, one))
        clock = self.clock.plain() if self.chained else {}
        own = total.own and not used
        return Effects([], Change(self.version, clock, context, total.gradient, total.rows, own))

    def _when_committed(self, asked: Asked, rule: Consistency) -> Effects:
        self._uncommitted.append((self.version, asked))
        return self.commit(self.committed, rule)

    def _served(self, rule: Consistency) -> list[Answer]:
        """Answers to the pulls that need not wait any more."""
        if self.status is not Status.PRIMARY or self.values is None or self.committed < 0:
            return []
        if rule.mode is Mode.SYNC and self.committed != self.version:
            return []
        may = [each for each in self._pulls if consistency.may_pull(rule, self.clock, each.worker, each.number)]
        self._pulls = [asked for asked in self._pulls if asked not in may]
        return [self._values(asked) for asked in may]

    def _values(self, asked: Asked) -> Answer:
        self._seen[asked.worker] = self.version
        last = self.clock.get(asked.worker)
        if asked.resumes and last == asked.number + 1 and self._held.previous is not None:
            return Answer(asked, self._held.previous.clone(), number=asked.number)
        if asked.rows is None:
            return Answer(asked, self.lend(), number=last)
        assert self.values is not None
        return Answer(asked, self.values.view(-1, self.table.row).index_select(0, asked.rows))

    def _refuse(self, asked: Asked, reason: Reason, text: str, number: int = 0) -> Effects:
        if self.filling(asked.number):
            self.abandon(asked.worker, asked.number)
        return Effects([Answer(asked, refused=reason, text=text, number=number)])
