"""Processes that go on from one generation to the next: Horovod's elastic ones, as the pod's agent sees them.

`hvd.elastic.run` says where it is by PUT /worker_addresses/<host>:<local rank>, whose pickled value nobody reads. After
a broken collective, or when it was told that members come or go, it asks GET /rank_and_size/<host>:<local rank>; the
answer is held until there is another generation than the one it comes from (Horovod 0.28,
runner/elastic/rendezvous.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from trireme.contract.ranks import Place

ADDRESSES_SCOPE = "worker_addresses"
RANK_SCOPE = "rank_and_size"
OUT = b"-1,-1,-1,-1,-1,-1"
"""The process is no member any more: Horovod ends it."""


class Regroup:
    """`changed()` is called in the loop when a process asks."""

    def __init__(self, slots: int, changed: Callable[[], None]) -> None:
        self._slots = slots
        self._changed = changed
        self._registered: set[int] = set()
        self._told: dict[int, int] = {}
        """By local rank, the generation that the process knows of."""
        self._asking: set[int] = set()
        self._places: Sequence[Place] = ()
        self._generation = 0
        self._number = 0
        self._watched = False
        self._closed = False
        self._news = asyncio.Event()

    @property
    def elastic(self) -> bool:
        """Whether every process of the pod goes on."""
        return len(self._registered) == self._slots > 0

    @property
    def rigid(self) -> bool:
        """Whether they would not hear of a newcomer."""
        return bool(self._registered) and not self._watched

    @property
    def asks(self) -> bool:
        """Whether one of them waits for another generation."""
        return bool(self._asking)

    @property
    def all_ask(self) -> bool:
        return len(self._asking) == self._slots

    def begin(self, generation: int, places: Sequence[Place]) -> None:
        """A generation whose processes are new ones."""
        self._registered.clear()
        self._asking = set()
        self._watched = False
        self._number = 0
        self._told = dict.fromkeys(range(self._slots), generation)
        self._tell(generation, places)

    def go_on(self, generation: int, places: Sequence[Place]) -> None:
        """A generation with the processes of the last one."""
        self._tell(generation, places)

    def announce(self, ended: int) -> None:
        """The membership changes and nobody has failed: whoever watches is told."""
        self._number = ended
        self._wake()

    def close(self) -> None:
        """There will be no further generation."""
        self._closed = True
        self._wake()

    def registers(self, key: str) -> None:
        local_rank = self._local_rank(key)
        if local_rank is not None:
            self._registered.add(local_rank)
            self._changed()

    async def place(self, key: str) -> bytes | None:
        """What Horovod asks for; None when the pod has no such process."""
        local_rank = self._local_rank(key)
        if local_rank is None:
            return None
        asking = self._asking
        asking.add(local_rank)
        self._changed()
        self._wake()
        try:
            while not self._closed and asking is self._asking and self._told[local_rank] >= self._generation:
                await self._news.wait()
        finally:
            asking.discard(local_rank)
        if self._closed or asking is not self._asking:
            return OUT
        self._told[local_rank] = self._generation
        mine = self._places[local_rank]
        fields = mine.rank, mine.size, mine.local_rank, mine.local_size, mine.cross_rank, mine.cross_size
        return ",".join(map(str, fields)).encode()

    async def news(self, after: int) -> int:
        """The last generation that ended because the membership changes, once that is later than `after`."""
        if not self._watched:
            self._watched = True
            self._changed()
        while self._number <= after and not self._closed:
            await self._news.wait()
        return self._number

    async def asked(self) -> None:
        """Returns when all processes ask."""
        while not self.all_ask:
            await self._news.wait()

    def _tell(self, generation: int, places: Sequence[Place]) -> None:
        self._generation, self._places = generation, places
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _local_rank(self, key: str) -> int | None:
        text = key.rpartition(":")[2]
        return int(text) if text.isascii() and text.isdigit() and int(text) < self._slots else None
