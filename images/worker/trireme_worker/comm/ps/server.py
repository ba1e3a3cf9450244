"""One server of the group: listens, answers, follows views. What it decides is in `slot`, `shard` and `keeper`."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from trireme.contract.wire import Serving

from trireme_worker.comm.ps import copies, greeting, sharing, transport
from trireme_worker.comm.ps.chain import Chain
from trireme_worker.comm.ps.checkpoint import Checkpoints
from trireme_worker.comm.ps.consistency import Consistency, Mode
from trireme_worker.comm.ps.conversation import Conversation
from trireme_worker.comm.ps.copies import Copy
from trireme_worker.comm.ps.entrance import Entrance
from trireme_worker.comm.ps.errors import Lost, ParameterServerError, Reason, Refused
from trireme_worker.comm.ps.greeting import Caller, Host
from trireme_worker.comm.ps.inventory import Inventory
from trireme_worker.comm.ps.keeper import Keeper
from trireme_worker.comm.ps.presence import Presence
from trireme_worker.comm.ps.returning import Returns
from trireme_worker.comm.ps.saver import Saved, Saver
from trireme_worker.comm.ps.shard import Key, Shard
from trireme_worker.comm.ps.slot import Asked, Change, Effects, Push, Slot, Status
from trireme_worker.comm.ps.table import Table
from trireme_worker.comm.ps.view import Directory, Watch

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
"""Between two announcements (contract: SERVING_SECONDS)."""


CLOSE_SECONDS = 10.0
"""For each thread to end when the server is closed."""


@dataclass(frozen=True)
class Settings:
    """What a server is told at its start."""

    index: int
    token: bytes
    address: str = "127.0.0.1"
    """Where the others reach it."""
    rule: Consistency = Consistency(Mode.SYNC)  # noqa: RUF009, frozen as well
    backups: int = 0
    checkpoints: Path | None = None
    job: str = ""
    """`namespace/name`, whose checkpoints they are; empty outside of a job."""
    checkpoint_seconds: float = 60.0
    """Between two checkpoints that it writes by itself."""
    leave_seconds: float = 5.0
    """A worker without a connection for so long is not waited for, except in Sync."""
    arrive_seconds: float = 60.0
    """The same for a worker that this server has never seen."""


class Server:
    def __init__(self, settings: Settings, directory: Directory, ended: threading.Event | None = None) -> None:
        """Listens at once. `ended` is set when it cannot go on; it is to be closed then.

        Raises OSError, and ParameterServerError when the checkpoints are another job's.
        """
        self.settings = settings
        self.ended = ended or threading.Event()
        self.failure: BaseException | None = None
        """Why it cannot go on."""
        self.incarnation = secrets.token_hex(8)
        self.shard = Shard(settings.rule)
        caller = Caller("server", settings.index, self.incarnation)
        self.chain = Chain(settings.token, caller)
        self._checkpoints = _checkpoints(settings)
        self._directory = directory
        self._presence = Presence(settings.leave_seconds, settings.arrive_seconds)
        self._returns = Returns()
        self._lock = threading.Lock()
        self._conversations: set[Conversation] = set()
        self._closed = threading.Event()
        tcp = transport.listen(settings.address)
        unix = f"@trireme-ps-{self.incarnation}"
        self._entrance = Entrance([tcp, transport.listen_unix(unix)], self._talk)
        self.serving = Serving(settings.index, self.incarnation, settings.address, tcp.getsockname()[1], unix)
        self._saver: Saver | None = None
        if self._checkpoints is not None:
            self._saver = Saver(self._checkpoints, self.shard, settings.checkpoint_seconds)
        self.keeper = Keeper(self, settings.index)
        self._watch = Watch(directory, settings.backups, self.keeper.offer, self.finish)
        self._ticking = threading.Thread(target=self._tick, name="ps-tick", daemon=True)
        self._ticking.start()
        self._entrance.start()

    def close(self) -> None:
        """Ends every connection and thread; does not save."""
        self._closed.set()
        if self._saver is not None:
            self._saver.close()
        self._watch.close()
        self._entrance.close()
        self._returns.close()
        with self._lock:
            conversations = list(self._conversations)
        for conversation in conversations:
            conversation.close()
        self.chain.close()
        self.keeper.close()
        # A thread within torch must not outlive the interpreter.
        self._ticking.join(CLOSE_SECONDS)
        self._entrance.join(CLOSE_SECONDS)
        if self._saver is not None:
            self._saver.join(CLOSE_SECONDS)

    def fail(self, error: BaseException) -> None:
        """Its ranges stay frozen from now on; the others take them over when this process has ended."""
        self.failure = error
        self.ended.set()

    @contextlib.contextmanager
    def vital(self) -> Iterator[None]:
        """What goes wrong in here ends the process: a thread that ended alone would leave it half alive."""
        try:
            yield
        except BaseException as error:  # SystemExit too: it would end the thread without a word
            self.fail(error)
            log.exception("this server cannot go on")

    # Requests

    def register(self, table: Table) -> None:
        """Raises Refused."""
        if self._checkpoints is not None and table.number not in self.shard.tables:
            self._checkpoints.admit(table)
        if self.shard.register(table):
            log.info("table %s: %d elements in %d ranges", table.name, table.length, len(table.ranges))
            for index in range(len(table.ranges)):
                self.keeper.unsettle((table.number, index), ask=False)

    def initialise(self, slot: Slot, asked: Asked, values: Tensor) -> None:
        """Holds the slot's lock."""
        self.act(slot, slot.initialise(asked, values, self.shard.rule_of(slot.table)))
        if slot.values is values:
            if self.keeper.backups(slot):
                slot.freeze()
                self.keeper.unsettle((slot.table.number, slot.index))
            else:
                self.committed(slot)

    def push(self, slot: Slot, push: Push) -> bool:
        """True when the chain keeps the push's gradient. Holds the slot's lock."""
        effects = slot.push(push, self.shard.rule_of(slot.table))
        kept = effects.change is not None and not effects.change.own and bool(self._backups(slot))
        self.act(slot, effects)
        return kept

    def act(self, slot: Slot, effects: Effects) -> None:
        """Carries out what a slot has decided. Holds its lock."""
        rule = self.shard.rule_of(slot.table)
        while True:
            for answer in effects.answers:
                conversation, request = answer.asked.token  # type: ignore[misc]
                conversation.answer(request, answer, slot)
            change = effects.change
            if change is None:
                return
            backups = self._backups(slot)
            if backups:
                self.chain.forward(slot, change, backups, _Forwarded(self, slot, change))
            else:
                self.act(slot, slot.commit(change.version, rule, change))
            effects = slot.reconsider(rule)

    def _backups(self, slot: Slot) -> tuple[int, ...]:
        """Servers that repeat the changes of a primary."""
        return self.keeper.backups(slot) if slot.chained else ()

    def committed(self, slot: Slot) -> None:
        """The chain has all that the slot has. Holds its lock."""
        if slot.values is not None:
            rule = self.shard.rule_of(slot.table)
            self.act(slot, slot.commit(slot.version, rule))
            self.act(slot, slot.reconsider(rule))

    def change_rule(self, number: int, rule: Consistency) -> None:
        if self.shard.change_rule(number, rule):
            log.info("consistency: %s", rule)
            for slot in list(self.shard.slots.values()):
                with slot.lock:
                    self.act(slot, slot.reconsider(self.shard.rule_of(slot.table)))

    def follow(self, copy: Copy, tensors: list[Tensor], view: int) -> None:
        """Becomes a backup of a range; without tensors, of what it has. Raises Refused."""
        self.shard.register(copy.table)
        slot = self.shard.made((copy.table.number, copy.index))
        with slot.lock:
            self.shard.check(view)
            if tensors:
                copies.install(slot, copy, tensors, view)
            elif (slot.tag, slot.version) != (copy.tag, copy.version):
                raise Refused(Reason.NOT_READY, "this server has another copy")
            slot.tag, slot.status = view, Status.BACKUP

    def discard(self, key: Key, view: int) -> None:
        """A copy that nobody needs, says the primary of its range in this view. Raises Refused."""
        with self.shard.lock:
            self.shard.check(view)
            slot = self.shard.slots.get(key)
            if slot is not None and slot.status is Status.FROZEN:
                del self.shard.slots[key]

    def learn(self, inventory: Inventory) -> None:
        """What another server knows and this one does not. Raises Refused."""
        for table in inventory.tables:
            self.shard.register(table)
        self.shard.enlist(inventory.membership)
        self.change_rule(inventory.rule_number, Consistency.parse(inventory.rule))

    def enlist(self, slot: Slot) -> None:
        """Who is a member of a slot that came from elsewhere: present workers, and no more than there are. Holds its
        lock."""
        for worker in self._presence.present():
            self.shard.join(slot, worker)
        size = self.shard.membership.size
        for worker in slot.clock.members:
            if worker >= size > 0:
                slot.clock.leave(worker)

    def finish(self, workers: frozenset[int]) -> None:
        """These workers have ended well, says the view: nobody waits for them any more."""
        with self.vital():
            before, self.shard.finished = self.shard.finished, workers
            for worker in sorted(workers - before):
                log.info("worker %d has ended well", worker)
                self._presence.forget(worker)
                self._leave(worker, for_good=True)

    def bye(self, caller: Caller) -> None:
        """A worker says that it is done, perhaps long before its process ends. It is saved soon: who goes on from a
        checkpoint in which this worker is a member would wait for it."""
        self._presence.forget(caller.index)
        self._leave(caller.index, for_good=True)
        if self._saver is not None:
            self._saver.soon()

    # Checkpoints

    def checkpoint(self) -> str:
        """Saves what it has; returns the path. Raises Refused."""
        return str(self._saves().save())

    def last_checkpoint(self) -> str:
        """The same before this process ends: nothing moves any more, and nothing that was acknowledged is missing."""
        self.keeper.stop()
        return self.checkpoint()

    def ask_checkpoint(self, done: Saved) -> None:
        """The same, which `done` hears of later. Raises Refused."""
        self._saves().ask(done)

    def _saves(self) -> Saver:
        if self._saver is None:
            raise Refused(Reason.FAILED, "there is no checkpoint directory: set spec.checkpoint.directory")
        return self._saver

    def restored(self, slot: Slot) -> tuple[Copy, list[Tensor]] | None:
        return None if self._checkpoints is None else self._checkpoints.find(slot.table, slot.index)

    # Connections

    def _talk(self, wire: transport.Wire) -> None:
        try:
            caller = greeting.receive(wire, self.settings.token, Host(self.settings.index, self.incarnation))
            self._entrance.known()
            if caller.ticket:
                self._returns.bring(wire, caller.ticket)
                return
            sharing.offer(wire)
            self._returns.offer(wire)
        except ParameterServerError as error:
            log.warning("a connection was refused: %s", error)
            wire.close()
            return
        conversation = Conversation(self, wire, caller)
        try:
            self._attach(conversation)
            conversation.run()
        except Lost as error:
            level = logging.DEBUG if self._closed.is_set() else logging.INFO
            log.log(level, "connection of %s %d: %s", caller.role, caller.index, error)
        except ParameterServerError as error:
            log.warning("connection of %s %d: %s", caller.role, caller.index, error)
            conversation.end(error)
        finally:
            self._detach(conversation)

    def _attach(self, conversation: Conversation) -> None:
        caller = conversation.caller
        with self._lock:
            self._conversations.add(conversation)
            closed = self._closed.is_set()
        if closed:
            conversation.close()
        if caller.role != "worker":
            return
        succeeded, enlarged = self.shard.attach(caller)
        self._presence.came(caller.index)
        if succeeded is not None:
            log.info("worker %d has a successor", caller.index)
            self._retire(caller, succeeded)
        if enlarged:
            self._enlist(range(caller.size))

    def _detach(self, conversation: Conversation) -> None:
        conversation.close()
        with self._lock:
            self._conversations.discard(conversation)
        if conversation.caller.role == "worker":
            self._presence.went(conversation.caller.index, time.monotonic())

    def _retire(self, caller: Caller, session: str) -> None:
        with self._lock:
            old = [each for each in self._conversations if each.caller.session == session]
        for each in old:
            each.close()
        for slot in list(self.shard.slots.values()):
            with slot.lock:
                self.act(slot, slot.retire(caller.index, caller.session))

    def _enlist(self, workers: range) -> None:
        for slot in list(self.shard.slots.values()):
            with slot.lock:
                for worker in workers:
                    self.shard.join(slot, worker)
                gone = [worker for worker in slot.clock.members if worker not in workers]
                for worker in gone:
                    self.act(slot, slot.leave(worker, self.shard.rule_of(slot.table)))

    def _leave(self, worker: int, for_good: bool = False) -> None:
        for slot in list(self.shard.slots.values()):
            with slot.lock:
                rule = self.shard.rule_of(slot.table)
                if worker in slot.clock.members and (for_good or rule.mode is not Mode.SYNC):
                    self.act(slot, slot.leave(worker, rule))

    def _tick(self) -> None:
        with self.vital():
            while not self._closed.wait(TICK_SECONDS if self._announce() else TICK_SECONDS / 5):
                for worker in self._presence.absent(self.shard.awaited(), time.monotonic()):
                    self._leave(worker)
                self._entrance.expel(time.monotonic())
                self.chain.ping()

    def _announce(self) -> bool:
        try:
            view = self._directory.announce(self._said())
        except OSError as error:
            log.debug("the view could not be had: %s", error)
            return False
        self._watch.offer(view)
        return True

    def _said(self) -> Serving:
        said: Mapping[str, object] = {**vars(self.serving), "view": self.shard.view}
        return Serving(**said)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Forwarded:
    """What becomes of a change that went down the chain."""

    server: Server
    slot: Slot
    change: Change

    def __call__(self, error: Exception | None) -> None:
        server, slot, change = self.server, self.slot, self.change
        if error is not None:
            log.info("table %s range %d: the chain broke: %s", slot.table.name, slot.index, error)
            server.keeper.unsettle((slot.table.number, slot.index))
            return
        with server.vital(), slot.lock:
            rule = server.shard.rule_of(slot.table)
            server.act(slot, slot.commit(change.version, rule, change))
            server.act(slot, slot.reconsider(rule))


def _checkpoints(settings: Settings) -> Checkpoints | None:
    if settings.checkpoints is None:
        return None
    found = Checkpoints(settings.checkpoints, settings.index, settings.job)
    found.claim()
    return found
