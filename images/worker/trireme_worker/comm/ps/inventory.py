"""What a server tells another that it has. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from trireme_worker.comm.ps.consistency import Consistency
from trireme_worker.comm.ps.errors import BadFrame
from trireme_worker.comm.ps.shard import Key, Membership, Shard
from trireme_worker.comm.ps.table import Table


@dataclass(frozen=True)
class Inventory:
    tables: tuple[Table, ...] = ()
    ranges: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """Tag and version of each copy that has values."""
    membership: Membership = field(default_factory=Membership)
    rule_number: int = 0
    rule: str = "Sync"

    @classmethod
    def of(cls, shard: Shard) -> Inventory:
        number, rule = shard.rule
        with shard.lock:
            ranges = {key: (slot.tag, slot.version) for key, slot in shard.slots.items() if slot.values is not None}
            return cls(tuple(shard.tables.values()), ranges, shard.membership, number, str(rule))

    def encode(self) -> bytes:
        return json.dumps(
            {
                "tables": [json.loads(table.encode()) for table in self.tables],
                "ranges": [[*key, *copy] for key, copy in self.ranges.items()],
                "membership": [self.membership.generation, self.membership.size],
                "rule": [self.rule_number, self.rule],
            }
        ).encode()

    @classmethod
    def decode(cls, data: bytes) -> Inventory:
        """Raises BadFrame."""
        try:
            plain = json.loads(data)
            Consistency.parse(plain["rule"][1])
            return cls(
                tuple(Table.decode(json.dumps(table)) for table in plain["tables"]),
                {(table, index): (tag, version) for table, index, tag, version in plain["ranges"]},
                Membership(*plain["membership"]),
                *plain["rule"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadFrame(f"not an inventory: {error}") from error
