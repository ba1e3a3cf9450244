"""A parameter server group in one process: real servers and clients on loopback, views driven by the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from trireme.contract.wire import Serving, View
from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.server import Server, Settings
from trireme_worker.comm.ps.worker import Worker

TOKEN = b"t" * 64
HELD_SECONDS = 0.5


class Board:
    """A Directory: the view is what the announced servers are, less those that were removed."""

    def __init__(self, desired: int, tcp: bool = False) -> None:
        """`tcp`: nobody hears of AF_UNIX sockets."""
        self._tcp = tcp
        self._changed = threading.Condition()
        self._view = View(0, desired, ())
        self._servers: dict[int, Serving] = {}
        self._removed: set[str] = set()

    def announce(self, serving: Serving) -> View:
        with self._changed:
            known = self._servers.get(serving.index)
            if serving.incarnation not in self._removed and (known is None or known.incarnation != serving.incarnation):
                self._servers[serving.index] = replace(serving, socket="") if self._tcp else serving
                self._issue()
            return self._view

    def view(self, after: int, finished: int | None = None) -> View:
        with self._changed:
            self._changed.wait_for(
                lambda: self._view.number > after or finished not in (None, len(self._view.finished)), HELD_SECONDS
            )
            return self._view

    def finish(self, *ranks: int) -> None:
        """These workers, and no others, have ended with code 0."""
        with self._changed:
            self._view = replace(self._view, finished=ranks)
            self._changed.notify_all()

    def remove(self, serving: Serving) -> None:
        with self._changed:
            self._removed.add(serving.incarnation)
            known = self._servers.get(serving.index)
            if known is not None and known.incarnation == serving.incarnation:
                del self._servers[serving.index]
                self._issue()

    def _issue(self) -> None:
        servers = tuple(self._servers[index] for index in sorted(self._servers))
        self._view = replace(self._view, number=self._view.number + 1, servers=servers)
        self._changed.notify_all()


@dataclass
class Group:
    settings: Settings
    board: Board
    size: int
    servers: dict[int, Server] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    def serve(self, index: int, **options: object) -> Server:
        server = self.servers[index] = Server(replace(self.settings, index=index, **options), self.board)  # type: ignore[arg-type]
        return server

    def kill(self, index: int) -> None:
        """As kill -9 and the coordinator's noticing it."""
        server = self.servers.pop(index)
        server.close()
        self.board.remove(server.serving)

    def client(self, rank: int, **options: object) -> Client:
        worker = Worker(rank, self.size, TOKEN, self.settings.backups, patience_seconds=30, assembly_seconds=10)
        client = Client(replace(worker, **options), self.board)  # type: ignore[arg-type]
        self.clients.append(client)
        return client

    def close(self) -> None:
        for client in self.clients:
            with suppress(Exception):
                client.close()
        for server in self.servers.values():
            server.close()


@contextmanager
def group(servers: int = 1, workers: int = 2, *, tcp: bool = False, **options: object) -> Iterator[Group]:
    settings = replace(Settings(0, TOKEN), **options)  # type: ignore[arg-type]
    made = Group(settings, Board(servers, tcp), workers)
    try:
        for index in range(servers):
            made.serve(index)
        yield made
    finally:
        made.close()


def together(*calls: object) -> list[object]:
    """Runs the calls, each in a thread of its own, and returns what they return; raises what they raise."""
    results: list[object] = [None] * len(calls)
    errors: list[BaseException] = []

    def run(at: int) -> None:
        try:
            results[at] = calls[at]()  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(at,), daemon=True) for at in range(len(calls))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60
    while not errors and any(thread.is_alive() for thread in threads) and time.monotonic() < end:
        for thread in threads:
            thread.join(0.05)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "a call never returned"
    return results
