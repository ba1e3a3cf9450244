"""Brings a server's ranges from view to view: one thread, the only one that moves ranges.

On a new view all ranges freeze. The primary of a range asks every server of the view what it has, which they say only
when they have adopted that view and so cannot acknowledge in an older one any more. It takes the latest copy there is
(by view, then by version), else the last checkpoint's; gives it to the backups that lack it; then it serves. What a
primary had applied but not yet acknowledged is acknowledged by that. The same is done when a link of the chain broke.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trireme.contract.wire import Serving

from trireme_worker.comm.ps import copies, frame
from trireme_worker.comm.ps.channel import Reply
from trireme_worker.comm.ps.copies import Copy
from trireme_worker.comm.ps.errors import ParameterServerError, Reason
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.inventory import Inventory
from trireme_worker.comm.ps.shard import Key
from trireme_worker.comm.ps.slot import Slot, Status
from trireme_worker.comm.ps.view import Placement

if TYPE_CHECKING:
    from trireme_worker.comm.ps.server import Server

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.05
"""Before another try, when a server of the view does not answer or has not adopted it yet."""
ASK_SECONDS = 30.0

Holders = Mapping[int, tuple[int, int]]
"""Of one range: tag and version of each other server's copy."""


class Keeper:
    def __init__(self, server: Server, index: int) -> None:
        self._server = server
        self._shard = server.shard
        self._index = index
        self._wake = threading.Condition()
        self._closed = False
        self._offered: Placement | None = None
        self._unsettled: set[Key] = set()
        self._fresh = False
        self._others: dict[int, Inventory] = {}
        self.placement: Placement | None = None
        self._thread = threading.Thread(target=self._run, name="ps-keeper", daemon=True)
        self._thread.start()

    def offer(self, placement: Placement) -> None:
        """A view was heard of."""
        with self._wake:
            if self._offered is None or placement.view.number > self._offered.view.number:
                self._offered = placement
                self._wake.notify()

    def unsettle(self, key: Key, ask: bool = True) -> None:
        """A range is new, or its chain broke. `ask`: other servers may have something of it."""
        with self._wake:
            self._unsettled.add(key)
            self._fresh = self._fresh and not ask
            self._wake.notify()

    def backups(self, slot: Slot) -> tuple[int, ...]:
        placement = self.placement
        return () if placement is None else placement.owners(slot.table, slot.index)[1:]

    def stop(self) -> None:
        """For good this server acknowledges nothing more, whatever view comes; what it has stays as it is."""
        self._end()
        for slot in list(self._shard.slots.values()):
            with slot.lock:
                if slot.status is Status.PRIMARY:
                    slot.freeze()
                    self._server.act(slot, slot.drop(Reason.NOT_READY, "the server ends"))

    def close(self) -> None:
        self._end()
        self._thread.join()

    def _end(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()

    def _run(self) -> None:
        try:
            self._keep()
        except BaseException as error:  # SystemExit too: it would end this thread alone, and without a word
            self._server.fail(error)
            log.exception("the ranges of this server cannot be kept any more")

    def _keep(self) -> None:
        while not self._closed:
            with self._wake:
                self._wake.wait_for(self._busy)
                offered = self._offered
            if self._closed:
                return
            if offered is not None and (self.placement is None or offered.view.number > self.placement.view.number):
                self._adopt(offered)
            try:
                self._settle_all()
            except ParameterServerError as error:
                log.debug("view %d is not settled: %s", self._shard.view, error)
                with self._wake:
                    self._wake.wait_for(self._superseded, PAUSE_SECONDS)

    def _busy(self) -> bool:
        return self._closed or self._superseded() or bool(self._unsettled)

    def _superseded(self) -> bool:
        return self._closed or (
            self._offered is not None
            and (self.placement is None or self._offered.view.number > self.placement.view.number)
        )

    def _adopt(self, placement: Placement) -> None:
        shard = self._shard
        with shard.lock:
            self.placement = placement
            shard.view = placement.view.number
            slots = dict(shard.slots)
            for slot in slots.values():
                with slot.lock:
                    slot.freeze()
                    if placement.owners(slot.table, slot.index)[:1] != (self._index,):
                        self._server.act(slot, slot.drop(Reason.NOT_READY, "the range moves to another server"))
        with self._wake:
            self._fresh = False
            self._unsettled = set(self._mine())
        servers = [serving.index for serving in placement.view.servers]
        log.info("view %d: servers %s", shard.view, servers)

    def _mine(self) -> list[Key]:
        """Ranges that this server is the primary of."""
        placement, shard = self.placement, self._shard
        if placement is None:
            return []
        with shard.lock:
            return [
                (table.number, index)
                for table in shard.tables.values()
                for index in range(len(table.ranges))
                if placement.owners(table, index)[:1] == (self._index,)
            ]

    def _owns(self, key: Key) -> bool:
        assert self.placement is not None
        return self.placement.owners(self._shard.tables[key[0]], key[1])[:1] == (self._index,)

    def _settle_all(self) -> None:
        if self.placement is None:
            return
        if not self._fresh:
            self._ask_all()
        while not self._superseded():
            with self._wake:
                if not self._unsettled or not self._fresh:
                    return
                key = self._unsettled.pop()
            if not self._owns(key):
                continue
            try:
                self._settle(key)
            except ParameterServerError:
                self.unsettle(key)
                raise

    def _ask_all(self) -> None:
        """What every other server of the view has. Raises ParameterServerError."""
        assert self.placement is not None
        view = self.placement.view
        with self._wake:
            self._fresh = True
        others: dict[int, Inventory] = {}
        try:
            for serving in view.servers:
                if serving.index != self._index:
                    reply = self._ask(serving, Header(Kind.INVENTORY, view=view.number))
                    others[serving.index] = Inventory.decode(reply.meta)
        except ParameterServerError:
            with self._wake:
                self._fresh = False
            raise
        self._others = others
        for inventory in others.values():
            self._server.learn(inventory)
        with self._wake:
            self._unsettled |= {key for key in self._mine() if key not in self._shard.slots}

    def _settle(self, key: Key) -> None:
        slot = self._shard.made(key)
        with slot.lock:
            slot.freeze()
        assert self.placement is not None
        placement = self.placement
        holders = {index: other.ranges[key] for index, other in self._others.items() if key in other.ranges}
        self._obtain(slot, holders)
        backups = placement.owners(slot.table, slot.index)[1:]
        if slot.values is not None:
            for index in backups:
                self._give(slot, placement.serving(index), holders)
        with slot.lock:
            if self._closed:
                return
            slot.tag, slot.status, slot.chained = placement.view.number, Status.PRIMARY, bool(backups)
            for worker in self._shard.finished:
                slot.clock.leave(worker)
            self._server.committed(slot)
        for index in set(holders) - {self._index, *backups}:
            header = Header(Kind.DISCARD, view=placement.view.number, table=key[0], index=key[1])
            self._ask(placement.serving(index), header)

    def _obtain(self, slot: Slot, holders: Holders) -> None:
        """The latest copy there is becomes this server's."""
        assert self.placement is not None
        mine = (slot.tag, slot.version) if slot.values is not None else (-1, -1)
        index, best = max(holders.items(), key=lambda item: item[1], default=(self._index, mine))
        if best > mine:
            header = Header(Kind.FETCH, view=self._shard.view, table=slot.table.number, index=slot.index)
            reply = self._ask(self.placement.serving(index), header)
            copy, tensors = copies.received(reply.meta, reply.body)
            self._install(slot, copy, tensors, copy.tag)
        elif slot.values is None and (found := self._server.restored(slot)) is not None:
            log.warning("table %s range %d: no server has it, restored update %d from the checkpoint",
                        slot.table.name, slot.index, found[0].version)  # fmt: skip
            self._install(slot, *found, 0)

    def _install(self, slot: Slot, copy: Copy, tensors: list[Any], tag: int) -> None:
        with slot.lock:
            self._server.act(slot, slot.drop(Reason.NOT_READY, "the range came from another server"))
            copies.install(slot, copy, tensors, tag)
            self._server.enlist(slot)

    def _give(self, slot: Slot, serving: Serving, holders: Holders) -> None:
        same = holders.get(serving.index) == (slot.tag, slot.version)
        with slot.lock:  # it is frozen, but workers may join it
            copy, tensors = copies.of(slot)
        header = Header(Kind.SNAPSHOT, view=self._shard.view, table=slot.table.number, index=slot.index,
                        flags=frame.RETAG if same else 0)  # fmt: skip
        body = [] if same else copies.body(tensors)
        self._server.chain.link(serving).ask(header, copy.encode(), body, ASK_SECONDS)

    def _ask(self, serving: Serving, header: Header) -> Reply:
        return self._server.chain.link(serving).ask(header, seconds=ASK_SECONDS)
