"""The work queue: keys, each at most once, none handled by two workers at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from trireme.cluster import backoff

K = TypeVar("K")


class WorkQueue(Generic[K]):
    """`get` a key, handle it, then `done`. A key added while it is being handled comes again afterwards."""

    def __init__(self, waited: Callable[[float], None] = lambda seconds: None) -> None:
        """`waited` is told of each key that is taken how many seconds it was due."""
        self._waited = waited
        self._since: dict[K, float] = {}
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._wanted: set[K] = set()
        """Keys to be handled: waiting in `_ready`, or added again while at work."""
        self._working: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        """Keys that wait to be handled now."""
        return len(self._wanted)

    def add(self, key: K) -> None:
        if key in self._wanted:
            return
        self._wanted.add(key)
        self._since[key] = time.perf_counter()
        if key not in self._working:
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Of several delays the one that ends first counts; whoever handles the key then asks for the others again."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._due, key)

    def retry(self, key: K, asked: float | None = None) -> float:
        """Again after a failure: later and later until `succeeded`. Returns the delay in seconds.

        `asked`: how many seconds the server wants to be left alone.
        """
        self._failures[key] = self._failures.get(key, 0) + 1
        seconds = backoff.delay(self._failures[key], asked=asked)
        self.add_after(key, seconds)
        return seconds

    def succeeded(self, key: K) -> None:
        self._failures.pop(key, None)

    async def get(self) -> K:
        key = await self._ready.get()
        self._wanted.discard(key)
        self._working.add(key)
        self._waited(time.perf_counter() - self._since.pop(key))
        return key

    def done(self, key: K) -> None:
        self._working.discard(key)
        if key in self._wanted:
            self._ready.put_nowait(key)

    def _due(self, key: K) -> None:
        del self._timers[key]
        self.add(key)
