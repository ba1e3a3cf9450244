"""A whole range in bytes: what a backup gets, what a checkpoint holds. Pure but for the memory it shares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from trireme_worker.comm.ps import memory
from trireme_worker.comm.ps.consistency import Clock
from trireme_worker.comm.ps.errors import BadFrame
from trireme_worker.comm.ps.slot import Slot
from trireme_worker.comm.ps.table import ITEM_BYTES, BadTable, Table


@dataclass(frozen=True)
class Copy:
    """One range as it was at `version`."""

    table: Table
    index: int
    version: int
    tag: int
    clock: dict[str, object]
    states: tuple[str, ...]
    """Names of the tensors behind the values, each as long as they are."""

    @property
    def elements(self) -> int:
        return len(self.table.ranges[self.index])

    @property
    def size(self) -> int:
        """Bytes of values and states."""
        return self.elements * ITEM_BYTES * (1 + len(self.states))

    def encode(self) -> bytes:
        return json.dumps(
            {
                "table": json.loads(self.table.encode()),
                "index": self.index,
                "version": self.version,
                "tag": self.tag,
                "clock": self.clock,
                "states": self.states,
            }
        ).encode()

    @classmethod
    def decode(cls, data: bytes | bytearray) -> Copy:
        """Raises BadFrame."""
        copy = cls.parse(data)
        try:
            copy.table.check()
        except BadTable as error:
            raise BadFrame(f"not a copy of a range: {error}") from error
        return copy

    @classmethod
    def parse(cls, data: bytes | bytearray) -> Copy:
        """One of a checkpoint, whose function a script may have no more. Raises BadFrame."""
        try:
            plain = json.loads(data)
            table = _table(json.dumps(plain["table"]))
            table.ranges[plain["index"]]
            Clock.of(plain["clock"])
            return cls(
                table, plain["index"], int(plain["version"]), int(plain["tag"]), plain["clock"], tuple(plain["states"])
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise BadFrame(f"not a copy of a range: {error}") from error


@lru_cache(maxsize=256)
def _table(text: str) -> Table:
    """Cut into its ranges once, and not with each of them: a checkpoint's thousands name few tables."""
    return Table.parse(text)


def of(slot: Slot) -> tuple[Copy, list[Tensor]]:
    """A frozen slot's copy and its tensors, values first, not copied. It has values; the caller holds its lock."""
    assert slot.values is not None
    names = tuple(slot.state)
    copy = Copy(slot.table, slot.index, slot.version, slot.tag, slot.clock.plain(), names)
    return copy, [slot.values, *(slot.state[name] for name in names)]


def body(tensors: Sequence[Tensor]) -> list[memoryview]:
    return [memory.data(tensor) for tensor in tensors]


def room(copy: Copy) -> list[Tensor]:
    """Tensors to receive it into. Raises BadFrame when there is no range of this size."""
    return [torch.empty(copy.elements) for _ in range(1 + len(copy.states))]


def received(meta: bytes, data: bytes) -> tuple[Copy, list[Tensor]]:
    """Raises BadFrame."""
    copy = Copy.decode(meta)
    if len(data) != copy.size:
        raise BadFrame(f"a copy of {len(data)} bytes where {copy.size} belong")
    whole = torch.frombuffer(bytearray(data), dtype=torch.float32)
    return copy, [part.clone() for part in whole.split(copy.elements)]


def install(slot: Slot, copy: Copy, tensors: Sequence[Tensor], tag: int) -> None:
    values, *states = tensors
    slot.install(values, dict(zip(copy.states, states, strict=True)), Clock.of(dict(copy.clock)), copy.version, tag)
