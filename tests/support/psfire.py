"""Fire for a parameter server group: seeded misfortune while workers push, and the books that show what it did to them.

Every session of a worker adds ones to an element of its own, so that the sum says how often its pushes were counted. A
push that was acknowledged counts exactly once; one whose worker died waiting for the answer at most once.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import torch
from support.psgroup import Group
from trireme_worker.comm.ps.channel import Channel, Exchange
from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.frame import Header
from trireme_worker.comm.ps.operation import Request
from trireme_worker.comm.ps.slot import Status

SETTLE_SECONDS = 30.0


class Echo:
    """Delivers some pushes of a client twice, the second time late, out of order and over another connection."""

    def __init__(self, client: Client, rng: random.Random, share: float) -> None:
        self._rng, self._share = rng, share
        self._old: list[Exchange] = []
        self._courier = client._courier
        self._submit = self._courier._submit
        self._courier._submit = self._twice  # type: ignore[method-assign]

    def _twice(self, channel: Channel, request: Request) -> None:
        view, past = self._courier._watch.placement.view.number, self._old
        if request.pushes and self._rng.random() < self._share:
            body = [memoryview(bytes(part)) for part in request.body]
            header = Header(request.kind, table=request.table.number, index=request.index, number=request.number)
            past.append(Exchange(header, lambda outcome: None, request.meta, body))
        self._submit(channel, request)
        if past and self._rng.random() < self._share:
            old = self._rng.choice(past)
            channel.submit(replace(old, header=old.header._replace(view=view)))

    def forget(self) -> None:
        """The client refers to it, and its courier may be at work."""
        self._old = []


@dataclass
class Book:
    """Of one session of a worker, for each table."""

    element: int
    acknowledged: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    halves: dict[str, int] = field(default_factory=dict)
    """Pushes that some ranges had of the predecessor already."""


@dataclass
class Life:
    """One worker with its successors."""

    rank: int
    stop: threading.Event = field(default_factory=threading.Event)
    client: Client | None = None
    killed: bool = False


@dataclass
class Fire:
    group: Group
    seed: int
    tables: dict[str, int]
    """Elements of each."""
    rounds: int
    row_tables: dict[str, tuple[int, int]] = field(default_factory=dict)
    books: list[Book] = field(default_factory=list)
    finished: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    errors: list[BaseException] = field(default_factory=list)

    def run(self, misfortunes: list[Callable[[Fire, random.Random], None]], pause: float) -> None:
        lives = self.lives = [Life(rank) for rank in range(self.group.size)]
        threads = [threading.Thread(target=self._live, args=(life,), daemon=True) for life in lives]
        for thread in threads:
            thread.start()
        rng = random.Random(self.seed)
        while any(thread.is_alive() for thread in threads) and not self.errors:
            time.sleep(pause * rng.random())
            if misfortunes:
                rng.choice(misfortunes)(self, rng)
        if self.errors:
            raise self.errors[0]
        self.check()

    def check(self) -> None:
        reader = self.group.client(self.group.size, assembly_seconds=0.0)
        found = {}
        for key, length in self.tables.items():
            reader.register(key, [length], reduction="sum", root_rank=-1)
            found[key] = reader.pull(key)
        problems = []
        for book in self.books:
            for key in self.tables:
                low = book.acknowledged.get(key, 0)
                high = low + book.unknown.get(key, 0) + book.halves.get(key, 0)
                counts = sorted({int(found[key][at]) for at in range(book.element, self.tables[key], 64)})
                if any(not low <= count <= high for count in counts):
                    problems.append(f"session {book.element} pushed {key} {low}..{high} times, counted {counts}")
        assert not problems, f"seed {self.seed}: {problems}"

    def _live(self, life: Life) -> None:
        try:
            while not self._session(life):
                pass
        except BaseException as error:
            self.errors.append(error)

    def _session(self, life: Life) -> bool:
        with self.lock:
            book = Book(len(self.books))
            self.books.append(book)
        rng = random.Random(self.seed * 1000 + book.element)
        client = life.client = self.group.client(life.rank)
        life.killed = False
        echo = Echo(client, rng, 0.3)
        try:
            for key, length in self.tables.items():
                client.register(key, [length], reduction="sum")
            halves = {key for key in self.tables if _level(client, key)}
            while client.pushes(key := min(self.tables, key=client.pushes)) < self.rounds:
                self._push(client, book, key, rng, key in halves)  # first what its predecessor owes the others
                halves.discard(key)
            client.shutdown() if rng.random() < 0.5 else client.close()  # a process may end without a word
            self._finish(life.rank)
        except ParameterServerError:
            if not life.killed:
                raise
            return False
        finally:
            echo.forget()
        return True

    def _finish(self, rank: int) -> None:
        """Its agent tells of the exit code."""
        with self.lock:
            self.finished.add(rank)
            self.group.board.finish(*sorted(self.finished))

    def _push(self, client: Client, book: Book, key: str, rng: random.Random, half: bool) -> None:
        ones = torch.zeros(self.tables[key])
        ones[book.element :: 64] = 1
        book.unknown[key] = 1
        if rng.random() < 0.5:
            client.wait(client.push(key, ones))
        else:
            client.wait(client.push_pull(key, ones, torch.empty_like(ones)))
        book.unknown[key] = 0
        counted = book.halves if half else book.acknowledged
        counted[key] = counted.get(key, 0) + 1


def _level(client: Client, key: str) -> bool:
    """Takes a push again that the predecessor has left in some ranges, as `Client.resume` does: else these would be a
    push ahead, and in Sync wait for workers that wait for this one. Whether there was such a push."""
    numbers = client._get(key).numbers
    low, high = min(numbers), max(numbers)
    numbers[:] = [low] * len(numbers)
    return low < high


def cut(fire: Fire, rng: random.Random) -> None:
    """A connection breaks, of a worker or in the chain; by TCP, that of one direction."""
    server = rng.choice(list(fire.group.servers.values()))
    with server._lock:
        wires = [conversation._wire for conversation in server._conversations]
    if wires:
        wire = rng.choice(wires)
        with suppress(OSError):  # it is closed already
            rng.choice([wire._incoming, wire._outgoing]).shutdown(socket.SHUT_RDWR)


def kill_server(fire: Fire, rng: random.Random) -> None:
    """A server dies once its last misfortune is overcome; one backup bears no more."""
    group = fire.group
    if len(group.servers) > 1 and settled(group):
        group.kill(rng.choice(sorted(group.servers)))


def start_server(fire: Fire, rng: random.Random) -> None:
    group = fire.group
    missing = [index for index in range(4) if index not in group.servers]
    if missing:
        group.serve(rng.choice(missing))


def kill_worker(fire: Fire, rng: random.Random) -> None:
    life = rng.choice(fire.lives)
    client = life.client
    if client is not None and not life.killed and len(fire.books) < 60:
        life.killed = True
        client.close()


def change_rule(fire: Fire, rng: random.Random) -> None:
    client = rng.choice(fire.lives).client
    if client is not None:
        with suppress(ParameterServerError):  # the server or the worker may just be dying
            client.set_consistency(rng.choice(["Sync", "Async", "Bounded:2"]))


def settled(group: Group, seconds: float = SETTLE_SECONDS) -> bool:
    """Waits until every range has its primary and its backups."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if _settled(group):
            return True
        time.sleep(0.01)
    raise AssertionError("the view was never settled")


def _settled(group: Group) -> bool:
    view = group.board.view(-1)
    servers = dict(group.servers)
    if {serving.index for serving in view.servers} != set(servers):
        return False
    for server in servers.values():
        placement, shard = server.keeper.placement, server.shard
        if placement is None or shard.view != view.number:
            return False
        for table in list(shard.tables.values()):
            for index in range(len(table.ranges)):
                for place, owner in enumerate(placement.owners(table, index)):
                    slot = servers[owner].shard.slots.get((table.number, index))
                    wanted = Status.PRIMARY if place == 0 else Status.BACKUP
                    if slot is None or slot.status is not wanted or slot.tag != view.number:
                        return False
    return True


TABLES = {"a": 640, "b": 128, "c": 1_200_000}
ALL = [cut, kill_server, start_server, kill_worker, change_rule, start_server]
