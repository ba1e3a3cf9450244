"""Horovod's key-value store as the pod's ranks see it: what the coordinator has, brought once for all of them.

Horovod's client asks for every other rank's key, twice, and asks again 10 ms after it has heard that a key is missing.
So a scope is followed from the first question on, every question is answered from memory, and one for a missing key is
held until the key comes. DELETE comes behind a barrier: all ranks of the scope are connected, nobody needs its keys any
more and its name may be used again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from trireme.contract import entries, wire

from trireme_worker.link import Link, Lost
from trireme_worker.server import Refused

LOCAL_SCOPE = "local_"
"""Horovod's prefix of scopes whose ranks all live in one pod: they never leave it."""
CROSS_SCOPE = "cross_"
"""Its prefix of the last scope in which each rank is connected."""
HOLD_SECONDS = 1.0
"""For a key to come: the client looks at its own time-out, HOROVOD_GLOO_TIMEOUT_SECONDS, between two answers only."""


@dataclass
class _Scope:
    values: dict[str, bytes] = field(default_factory=dict)
    awaited: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    """By the keys that ranks wait for: done when the key is there, or will not come."""
    follower: asyncio.Task[None] | None = None

    def add(self, found: Mapping[str, bytes]) -> None:
        self.values.update(found)
        for key in self.awaited.keys() & found.keys():
            self.awaited.pop(key).set_result(None)

    async def wait_for(self, key: str) -> None:
        """Up to HOLD_SECONDS."""
        if key not in self.values:
            awaited = self.awaited.setdefault(key, asyncio.get_running_loop().create_future())
            await asyncio.wait({awaited}, timeout=HOLD_SECONDS)

    def close(self) -> None:
        if self.follower is not None:
            self.follower.cancel()
        while self.awaited:
            self.awaited.popitem()[1].set_result(None)


class Rendezvous:
    def __init__(self, link: Link, generation: int, patience_seconds: float) -> None:
        self._link = link
        self._prefix = f"{wire.STORE_PREFIX}{generation}"
        self._patience = patience_seconds
        self._scopes: dict[str, _Scope] = {}
        self.connected = 0
        """Ranks of the pod that are connected with all their peers."""

    async def get(self, scope: str, key: str) -> bytes | None:
        """None when the key has not come for HOLD_SECONDS, or its generation has ended."""
        entry = self._scopes.setdefault(scope, _Scope())
        if entry.follower is None and not scope.startswith(LOCAL_SCOPE):
            entry.follower = asyncio.get_running_loop().create_task(self._follow(scope, entry))
        await entry.wait_for(key)
        return entry.values.get(key)

    async def put(self, scope: str, key: str, value: bytes) -> None:
        """Raises link.Lost and server.Refused."""
        self._scopes.setdefault(scope, _Scope()).add({key: value})
        if not scope.startswith(LOCAL_SCOPE):
            await self._ask("PUT", f"{quote(scope, safe='')}/{quote(key, safe='')}", value)

    async def delete(self, scope: str) -> None:
        """Only the first of the pod's ranks is heard. Raises link.Lost and server.Refused."""
        self.connected += scope.startswith(CROSS_SCOPE)
        entry = self._scopes.pop(scope, None)
        if entry is None:
            return
        entry.close()
        if not scope.startswith(LOCAL_SCOPE):
            await self._ask("DELETE", quote(scope, safe=""))

    def close(self) -> None:
        for entry in self._scopes.values():
            entry.close()

    async def _follow(self, scope: str, entry: _Scope) -> None:
        position = 0
        with contextlib.suppress(Lost, Refused):  # the agent's beat hears the same and ends the generation
            while True:
                target = f"{quote(scope, safe='')}?after={position}"
                answer = await self._ask("GET", target, hold_seconds=wire.JOIN_POLL_SECONDS)
                found = entries.decode(answer)
                entry.add(dict(found))
                position += len(found)

    async def _ask(self, method: str, target: str, body: bytes = b"", *, hold_seconds: float = 0.0) -> bytes:
        target = f"{self._prefix}/{target}"
        return await self._link.ask(method, target, body, hold_seconds=hold_seconds, patience_seconds=self._patience)
