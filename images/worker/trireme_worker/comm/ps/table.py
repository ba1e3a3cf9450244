"""A table: a flat vector of float32 on the servers, with everything they must know of it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

import torch

from trireme_worker.comm.ps import consistency, filters, functions, partition, rounding, state
from trireme_worker.comm.ps.consistency import Consistency
from trireme_worker.comm.ps.partition import Range

ITEM_BYTES = 4
REDUCTIONS = ("mean", "sum")
NAN_POLICIES = ("refuse", "pass")
NAME_MAX = 200


class BadTable(ValueError):
    """A table that cannot be; the text says why."""


@dataclass(frozen=True)
class Table:
    name: str
    length: int
    """Elements."""
    row: int = 1
    """Elements of a row, which is never split."""
    function: Mapping[str, Any] = field(default_factory=lambda: {"name": "add"})
    """Configuration of the update function (functions.create)."""
    reduction: str = "mean"
    """What becomes of the pushes that are applied together (Sync): their mean or their sum."""
    nan: str = "refuse"
    """What becomes of a push with a NaN or an infinity: it is refused, or passed on to the update function."""
    filters: tuple[str | Mapping[str, Any], ...] = ()
    """Configuration of the filters of pushes, in the order in which the worker applies them."""
    consistency: str = ""
    """Of this table alone; empty: the job's."""
    pull_filter: str = ""
    """How servers round what they send: fp16, bf16, int8; empty: not at all."""

    @cached_property
    def number(self) -> int:
        """Its name on the wire, the same in every process."""
        return int.from_bytes(hashlib.blake2b(self.name.encode(), digest_size=4).digest(), "big")

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        return partition.ranges(self.length, row=self.row, itemsize=ITEM_BYTES)

    @cached_property
    def fixed(self) -> Consistency | None:
        return Consistency.parse(self.consistency) if self.consistency else None

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Names of the tensors that the update function keeps beside the values. Raises BadFunction."""
        return tuple(state.begun(functions.create(self.function), torch.zeros(self.row)))

    def check_shape(self) -> None:
        """Whether it can be cut into ranges. Raises BadTable."""
        if not 0 < len(self.name) <= NAME_MAX:
            raise BadTable(f"a table's key has 1 to {NAME_MAX} characters, got {self.name!r:.300}")
        if self.length < 1 or self.row < 1 or self.length % self.row:
            raise BadTable(f"table {self.name!r}: {self.length} elements are not one or more rows of {self.row}")

    def check(self) -> None:
        """Raises BadTable."""
        self.check_shape()
        if self.reduction not in REDUCTIONS or self.nan not in NAN_POLICIES:
            raise BadTable(f"table {self.name!r}: reduction is one of {REDUCTIONS} and nan one of {NAN_POLICIES}, "
                           f"got {self.reduction!r} and {self.nan!r}")  # fmt: skip
        if self.pull_filter and self.pull_filter not in rounding.FILTERS:
            raise BadTable(f"table {self.name!r}: pull_filter is one of {', '.join(rounding.FILTERS)}, "
                           f"got {self.pull_filter!r:.100}")  # fmt: skip
        try:
            _ = self.states
            filters.chain(self.filters)
            consistency.Consistency.parse(self.consistency or "Sync")
        except ValueError as error:
            raise BadTable(f"table {self.name!r}: {error}") from error

    def difference(self, other: Table) -> str:
        """What two tables of one name disagree on; empty when they are the same."""
        mine, theirs = json.loads(self.encode()), json.loads(other.encode())
        return ", ".join(f"{key}: {mine[key]!r} and {theirs[key]!r}" for key in mine if mine[key] != theirs[key])

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes | bytearray | str) -> Table:
        """Raises BadTable."""
        table = cls.parse(data)
        table.check()
        return table

    @classmethod
    def parse(cls, data: bytes | bytearray | str) -> Table:
        """One whose function and filters need not exist here. Raises BadTable."""
        try:
            plain = json.loads(data)
            kinds = {"length": int, "row": int, "function": dict, "filters": list}
            for item in fields(cls):
                if not isinstance(plain[item.name], kinds.get(item.name, str)):
                    raise BadTable(f"a table's {item.name} is no {type(plain[item.name]).__name__}")
            table = cls(**{**plain, "filters": tuple(plain["filters"])})
        except (ValueError, KeyError, TypeError) as error:
            raise BadTable(f"not a table: {error}") from error
        table.check_shape()
        return table
