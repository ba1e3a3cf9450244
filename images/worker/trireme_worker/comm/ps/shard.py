"""What one server has: tables, ranges, the rule of consistency, the workers it knows. No sockets.

Its lock guards the dictionaries; each slot has a lock of its own. Order: the shard's first, never the other way round.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from trireme_worker.comm.ps.buffers import Buffers
from trireme_worker.comm.ps.consistency import Consistency, Mode
from trireme_worker.comm.ps.errors import MOVING, Reason, Refused
from trireme_worker.comm.ps.greeting import Caller
from trireme_worker.comm.ps.slot import Slot
from trireme_worker.comm.ps.table import Table

Key = tuple[int, int]
"""Number of a table, index of a range."""


@dataclass(frozen=True)
class Membership:
    """Which workers there are; a later generation replaces an earlier one."""

    generation: int = 0
    size: int = 0


class Shard:
    def __init__(self, rule: Consistency) -> None:
        self.lock = threading.RLock()
        self.view = 0
        """The view that this server has adopted; requests of another one are refused."""
        self.tables: dict[int, Table] = {}
        self.slots: dict[Key, Slot] = {}
        self.membership = Membership()
        self.finished: frozenset[int] = frozenset()
        """Workers that have ended well, as the view says: members of no range."""
        self._rule = rule
        self._rule_number = 0
        self._buffers = Buffers()
        self._sessions: dict[int, str] = {}
        self._retired: set[str] = set()

    def check(self, view: int) -> None:
        """Raises Refused when this is another view than the server's. Under the lock it stays so."""
        if view != self.view:
            raise Refused(Reason.WRONG_VIEW, f"this server has view {self.view}", self.view)

    @property
    def rule(self) -> tuple[int, Consistency]:
        """The job's rule, behind the number of the change that made it."""
        with self.lock:
            return self._rule_number, self._rule

    def rule_of(self, table: Table) -> Consistency:
        return table.fixed or self._rule

    def change_rule(self, number: int, rule: Consistency) -> bool:
        """The change with the highest number counts. False for one that is older."""
        with self.lock:
            if number <= self._rule_number:
                return False
            self._rule_number, self._rule = number, rule
            return True

    def register(self, table: Table) -> bool:
        """True when the table is new. Raises Refused for one that is known with other properties."""
        with self.lock:
            known = self.tables.get(table.number)
            if known is None:
                self.tables[table.number] = table
                return True
        if known.name != table.name:
            raise Refused(Reason.MISMATCH, f"tables {known.name!r} and {table.name!r} have the same number: rename one")
        if difference := known.difference(table):
            raise Refused(
                Reason.MISMATCH,
                f"table {table.name!r} is registered twice, and differently ({difference}): "
                "all workers must build the same model and optimizer",
            )
        return False

    def table(self, number: int) -> Table:
        """Raises Refused."""
        try:
            return self.tables[number]
        except KeyError:
            raise Refused(Reason.UNKNOWN_TABLE, "the table is not registered: call register first") from None

    def slot(self, key: Key) -> Slot:
        """Raises Refused."""
        table = self.table(key[0])
        if key[1] >= len(table.ranges):
            raise Refused(Reason.MALFORMED, f"table {table.name!r} has no range {key[1]}")
        slot = self.slots.get(key)
        if slot is None:
            raise Refused(Reason.NOT_READY, MOVING)
        return slot

    def made(self, key: Key) -> Slot:
        """The slot, made frozen and empty when there is none; all workers that have not ended are its members."""
        with self.lock:
            slot = self.slots.get(key)
            if slot is None:
                slot = self.slots[key] = Slot(self.tables[key[0]], key[1], self._buffers)
                for worker in range(self.membership.size):
                    self.join(slot, worker)
            return slot

    def join(self, slot: Slot, worker: int) -> int:
        """A worker is there (again); returns its last push. What one that has ended sent before makes it no member."""
        return slot.clock.get(worker) if worker in self.finished else slot.join(worker)

    def awaited(self) -> set[int]:
        """Members that need not be waited for when they are away: not in Sync. Takes no slot's lock: updates hold them
        for a while."""
        awaited: set[int] = set()
        for slot in list(self.slots.values()):
            if self.rule_of(slot.table).mode is not Mode.SYNC:
                awaited.update(slot.clock.members)
        return awaited

    def attach(self, caller: Caller) -> tuple[str | None, bool]:
        """A worker has connected: the session it succeeds, and whether the membership changed."""
        with self.lock:
            if caller.session in self._retired:
                raise Refused(Reason.RETIRED, f"worker {caller.index} has a successor; this process must end")
            before = self._sessions.get(caller.index)
            succeeded = before if before not in (None, caller.session) else None
            if succeeded is not None:
                self._retired.add(succeeded)
            self._sessions[caller.index] = caller.session
            return succeeded, self.enlist(Membership(caller.generation, caller.size))

    def enlist(self, membership: Membership) -> bool:
        """True when this membership is newer than the present one."""
        with self.lock:
            newer = membership.size > 0 and (
                not self.membership.size or membership.generation > self.membership.generation
            )
            if newer:
                self.membership = membership
            return newer

    def current(self, caller: Caller) -> bool:
        """Whether a worker has no successor."""
        return self._sessions.get(caller.index) == caller.session
