"""Links from this server to the others, and what is sent down the chain: each update once, after aggregation.

Nobody waits here: a link hands its answers on. Links are made by the keeper, never while a range is locked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trireme.contract.wire import Serving

from trireme_worker.comm.ps import frame, memory
from trireme_worker.comm.ps.channel import Channel, Exchange, Reply
from trireme_worker.comm.ps.consistency import Clock
from trireme_worker.comm.ps.errors import BadFrame, Lost, ParameterServerError
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.greeting import Caller
from trireme_worker.comm.ps.slot import Change, Slot

Done = Callable[[Exception | None], None]


@dataclass(frozen=True)
class Told:
    """What goes with an update besides its numbers."""

    clock: dict[str, Any]
    """After it."""
    step: int
    staleness: int
    rows: int | None
    """How many, of a sparse one."""
    rest: tuple[int, ...]
    """Servers that come after this one."""

    def encode(self) -> bytes:
        return json.dumps(vars(self)).encode()

    @classmethod
    def decode(cls, data: bytes | bytearray) -> Told:
        """Raises BadFrame."""
        try:
            plain = json.loads(data)
            Clock.of(plain["clock"])
            rows = None if plain["rows"] is None else int(plain["rows"])
            rest = tuple(int(server) for server in plain["rest"])
            return cls(plain["clock"], int(plain["step"]), int(plain["staleness"]), rows, rest)
        except (ValueError, KeyError, TypeError) as error:
            raise BadFrame(f"not an update: {error}") from error


class Chain:
    def __init__(self, token: bytes, caller: Caller) -> None:
        self._token = token
        self._caller = caller
        self._lock = threading.Lock()
        self._links: dict[int, Channel] = {}

    def link(self, serving: Serving) -> Channel:
        """A live link, made when there is none. Raises ParameterServerError."""
        with self._lock:
            known = self._links.get(serving.index)
        if known is not None and known.alive and known.serving.incarnation == serving.incarnation:
            return known
        fresh = Channel(serving, self._token, self._caller)
        with self._lock:
            self._links[serving.index] = fresh
        if known is not None:
            known.close()
        return fresh

    def forward(self, slot: Slot, change: Change, servers: Sequence[int], done: Done) -> None:
        """Sends a change to the first of `servers`, which sends it on to the rest; `done` hears when all have it."""
        with self._lock:
            link = self._links.get(servers[0])
        if link is None:
            done(Lost(f"no link to server {servers[0]}"))
            return
        context, rows = change.context, change.rows
        count = None if rows is None else len(rows)
        told = Told(dict(change.clock), context.step, context.staleness, count, tuple(servers[1:]))
        header = Header(Kind.UPDATE, view=slot.tag, table=slot.table.number, index=slot.index, number=change.version,
                        rate=context.rate, flags=0 if rows is None else frame.ROWS)  # fmt: skip
        parts = [memory.data(part) for part in (rows, change.gradient) if part is not None and part.numel()]

        def finished(outcome: Reply | ParameterServerError) -> None:
            done(outcome if isinstance(outcome, ParameterServerError) else None)

        link.submit(Exchange(header, finished, told.encode(), parts))

    def ping(self) -> None:
        for link in self._alive():
            link.ping()

    def close(self) -> None:
        for link in self._alive():
            link.close()

    def _alive(self) -> list[Channel]:
        with self._lock:
            return [link for link in self._links.values() if link.alive]
