"""The processes of one peer: forked from one that has torch imported, told to step, watched from outside."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import re
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from ps_peers import Cell, Peer, Place

from ps_bench.figures import Round

PATIENCE_SECONDS = 120.0
"""For the start and for each round of a peer."""
MADV_POPULATE_READ = 22
"""Linux 5.14, not in Python's mmap."""
_context = get_context("forkserver")
_context.set_forkserver_preload(["torch", "torch.distributed", "ps_peers"])


class PeerFailed(Exception):
    """A process of a peer ended, was silent for too long, or moved the wrong bytes."""


class Member:
    """One process, from the benchmark's side."""

    def __init__(self, peer: Peer, role: str, place: Place) -> None:
        self.role = role
        self._who = f"{peer.title}, {role} {place.index}"
        self._pipe, other = _context.Pipe()
        self._process = _context.Process(target=_run, args=(peer.module, role, place, other), daemon=True)
        self._process.start()
        other.close()
        self.pid = self._process.pid or 0
        self._clock = (~self.pid << 3) | 2  # CPUCLOCK_SCHED of the process, clock_getcpuclockid(3)

    def say(self, what: int) -> None:
        self._pipe.send(what)

    def hear(self) -> Any:
        """Raises PeerFailed."""
        try:
            if not self._pipe.poll(PATIENCE_SECONDS):
                raise PeerFailed(f"{self._who}: silent for {PATIENCE_SECONDS:g} s")
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join(1)
            raise PeerFailed(f"{self._who}: ended with code {self._process.exitcode}") from None
        if isinstance(answer, _Failure):
            raise PeerFailed(f"{self._who}: {answer.text}")
        return answer

    def cpu(self) -> float:
        return time.clock_gettime(self._clock)

    def peak(self, baseline: int) -> int:
        return _memory(self.pid, "VmHWM") - baseline

    def end(self) -> None:
        self._process.kill()
        self._process.join()


@dataclass(frozen=True)
class _Failure:
    text: str


class Group:
    """A peer at work on a cell. Raises PeerFailed from any method."""

    def __init__(self, peer: Peer, cell: Cell, folder: Path) -> None:
        self._peer = peer
        self._cell = cell
        self._folder = folder
        self._members: list[Member] = []
        self._workers: list[Member] = []
        self._baselines: dict[int, int] = {}

    def start(self) -> None:
        """And a first step, in which it shows that it moves what it should."""
        peer, cell = self._peer, self._cell
        place = Place(cell, 0, self._folder, peer.chunk)
        if peer.hosted:
            place = replace(place, host=self._started("host", place).hear())
        if not peer.allreduce:
            servers = [self._started("server", replace(place, index=index)) for index in range(cell.servers)]
            place = replace(place, servers=tuple(server.hear() for server in servers))
        self._workers = [self._started("worker", replace(place, index=rank)) for rank in range(cell.workers)]
        for worker in self._workers:
            worker.hear()

    def _started(self, role: str, place: Place) -> Member:
        member = Member(self._peer, role, place)
        self._members.append(member)
        self._baselines[member.pid] = member.hear()
        return member

    def step(self, times: int) -> Round:
        before = sum(member.cpu() for member in self._members)
        for worker in self._workers:
            worker.say(times)
        seconds = max(worker.hear() for worker in self._workers)
        cpu = sum(member.cpu() for member in self._members) - before
        return Round(seconds / times, cpu / times)

    def peak(self, role: str) -> int:
        """Bytes: of the process of this role that needed most, since it had its imports."""
        found = [one.peak(self._baselines[one.pid]) for one in self._members if one.role == role]
        return max(found, default=0)

    def rest(self) -> None:
        """Until the next step nothing of it runs, if it would."""
        if self._peer.spins:
            self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        if self._peer.spins:
            self._signal(signal.SIGCONT)

    def end(self) -> None:
        for member in self._members:
            member.end()

    def _signal(self, number: signal.Signals) -> None:
        for member in self._members:
            os.kill(member.pid, number)


@contextlib.contextmanager
def started(peer: Peer, cell: Cell, folder: Path) -> Iterator[Group]:
    folder.mkdir()
    group = Group(peer, cell, folder)
    try:
        group.start()
        yield group
    finally:
        group.end()


def _run(name: str, role: str, place: Place, pipe: Connection) -> None:
    """A member's process."""
    try:
        peer = importlib.import_module(f"ps_peers.{name}")
        (torch.ones(1024) + 1).numpy().sum()  # what torch makes when it is first used
        _map_code()
        gc.collect()  # the first full collection walks all imports, in this process or any other
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        pipe.send(_memory(os.getpid(), "VmRSS"))
        if role != "worker":
            (peer.host if role == "host" else peer.serve)(place, pipe.send)
            return
        step = peer.work(place)
        values, wanted = step(), peer.expected(place.cell)
        if not values.min() == values.max() == wanted:  # a comparison of all elements would need memory
            raise ValueError(f"pulled {values}, expected {wanted}")
        pipe.send("ready")
        while True:
            times = pipe.recv()
            began = time.perf_counter()
            for _ in range(times):
                step()
            pipe.send(time.perf_counter() - began)
    except Exception:
        pipe.send(_Failure(traceback.format_exc()))


def _map_code() -> None:
    """Maps what the libraries' files hold: pages that all processes share would else count when first used."""
    libc = ctypes.CDLL(None, use_errno=True)
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, rights, *_, name = line.split(maxsplit=5)
        if name.startswith("/") and "w" not in rights and rights.startswith("r"):
            start, stop = (int(address, 16) for address in place.split("-"))
            if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), MADV_POPULATE_READ):
                raise OSError(ctypes.get_errno(), f"{name} cannot be mapped as a whole")


def _memory(pid: int, key: str) -> int:
    """Bytes."""
    match = re.search(rf"^{key}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024
