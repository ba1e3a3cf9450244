"""Which server has which elements: a table is cut into ranges, a ring gives each range its servers. Pure.

Consistent hashing (Karger et al. 1997) with virtual nodes orders the servers for each key. It is fair only on average,
and a table of a few ranges is no average: `Ring.place` levels the primaries of one table exactly. Both keep the
property that matters when servers come and go: the order of the others never changes, so that a new server takes its
share and nothing else moves, and a lost one is succeeded by the next of the chain, which has its data.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Range:
    """Elements of a table, half open."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


RANGE_BYTES = 5 * MIB // 2
"""A range of half the size costs as much work for half the bytes; one of twice the size, twice the buffers."""
ALIGNED_BYTES = 64
"""Ranges begin at multiples of it, as torch's tensors do: see docs/adr/0020."""
LARGEST_UNIT_BYTES = 4096
"""Rows that only together are a multiple of ALIGNED_BYTES are kept together up to here."""


def ranges(length: int, *, row: int = 1, itemsize: int = 4, target_bytes: int = RANGE_BYTES) -> tuple[Range, ...]:
    """Cuts `length` elements of `itemsize` bytes into contiguous ranges of equal size, give or take one row or a page.

    A range has 1/2 to 1 times `target_bytes`, or a page more, unless the table is smaller or a row of `row` elements,
    which is never split, large. Raises ValueError when the table is not made of whole rows.
    """
    if length < 0 or row < 1 or itemsize < 1 or target_bytes < 1:
        raise ValueError(
            f"a table has no {length} elements of {itemsize} bytes in rows of {row}, {target_bytes} bytes a range"
        )
    if length % row:
        raise ValueError(f"a table of {length} elements is not made of rows of {row}")
    together = math.lcm(row * itemsize, ALIGNED_BYTES) // itemsize
    unit = together if together * itemsize <= LARGEST_UNIT_BYTES else row
    units = -(-length // unit)
    count = min(units, -(-length * itemsize // target_bytes))
    return tuple(Range(units * i // count * unit, min(units * (i + 1) // count * unit, length)) for i in range(count))


def range_key(table: str, index: int) -> str:
    """The name of a range on the ring."""
    return f"{table}/{index}"


class Ring:
    """Consistent hashing over the servers of one view; the same in every process. Servers are indices, 0 and up."""

    def __init__(self, servers: Iterable[int], virtual_nodes: int = 64) -> None:
        self.servers = tuple(sorted(set(servers)))
        if not self.servers or self.servers[0] < 0 or virtual_nodes < 1:
            raise ValueError(f"a ring needs servers and virtual nodes, got {self.servers} and {virtual_nodes}")
        nodes = sorted((_hash(f"{server}#{node}"), server) for server in self.servers for node in range(virtual_nodes))
        self._points = [point for point, _ in nodes]
        self._owners = [server for _, server in nodes]

    def owners(self, key: str, count: int) -> tuple[int, ...]:
        """The first `count` distinct servers clockwise of the key, primary first; all of them when there are fewer."""
        found: dict[int, None] = {}
        start = bisect.bisect_left(self._points, _hash(key))
        for step in range(len(self._owners)):
            if len(found) == min(count, len(self.servers)):
                break
            found[self._owners[(start + step) % len(self._owners)]] = None
        return tuple(found)

    def place(self, table: str, count: int, copies: int) -> tuple[tuple[int, ...], ...]:
        """The servers of each of the `count` ranges of a table, primary first, `copies` of them or as many as there
        are.

        While servers are 0..n-1, each is primary of count // n ranges or one more. Where an index is missing, the
        ranges it would have are with their next servers.
        """
        serving = frozenset(self.servers)
        placed = []
        for index, past in enumerate(_history(table, count, self.servers[-1] + 1)):
            order = dict.fromkeys(server for server in past if server in serving)
            if len(order) < copies:
                order.update(dict.fromkeys(self.owners(range_key(table, index), len(self.servers))))
            placed.append(tuple(order)[:copies])
        return tuple(placed)


@functools.lru_cache(maxsize=64)
def _history(table: str, count: int, servers: int) -> tuple[tuple[int, ...], ...]:
    """For each range, who was its primary while the servers grew from one to `servers`, latest first.

    Every newcomer takes its share from those who have most, which are level but for one range. Which of a server's
    ranges go is the hash's choice: otherwise all newcomers would take the same ones, and backups would crowd on a few
    servers.
    """
    past: list[tuple[int, ...]] = [(0,)] * count
    held: list[list[int]] = [sorted(range(count), key=lambda index: _hash(range_key(table, index)))]
    for newcomer in range(1, servers):
        share, spare = divmod(count, newcomer + 1)
        held.sort(key=len, reverse=True)
        taken = []
        for place, own in enumerate(held):
            keep = share + (place < spare)
            taken += own[keep:]
            del own[keep:]
        for index in taken:
            past[index] = (newcomer, *past[index])
        held.append(sorted(taken, key=lambda index: _hash(f"{newcomer}<{range_key(table, index)}")))
    return tuple(past)


@functools.lru_cache(maxsize=65536)
def _hash(text: str) -> int:
    """64 bits, the same in every process and version of Python."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
