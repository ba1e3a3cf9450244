"""Horovod's key-value store as the pod's ranks see it: what the coordinator has, brought once for all of them.

Horovod's client asks for every other rank's key, twice, and asks again every 10 ms while a key is missing. So a scope
is followed from the first question on and every question is answered from memory. DELETE comes behind a barrier: all
ranks of the scope are connected, nobody needs its keys any more and its name may be used again.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from urllib.parse import quote

from trireme.contract import entries, wire

from trireme_worker.link import Link, Lost
from trireme_worker.server import Refused

LOCAL_SCOPE = "local_"
"""Horovod's prefix of scopes whose ranks all live in one pod: they never leave it."""
CROSS_SCOPE = "cross_"
"""Its prefix of the last scope in which each rank is connected."""


@dataclass
class _Scope:
    values: dict[str, bytes] = field(default_factory=dict)
    follower: asyncio.Task[None] | None = None


class Rendezvous:
    def __init__(self, link: Link, generation: int, patience_seconds: float) -> None:
        self._link = link
        self._prefix = f"{wire.STORE_PREFIX}{generation}"
        self._patience = patience_seconds
        self._scopes: dict[str, _Scope] = {}
        self.connected = 0
        """Ranks of the pod that are connected with all their peers."""

    def get(self, scope: str, key: str) -> bytes | None:
        """None when the key is not there yet."""
        entry = self._scopes.setdefault(scope, _Scope())
        if entry.follower is None and not scope.startswith(LOCAL_SCOPE):
            entry.follower = asyncio.get_running_loop().create_task(self._follow(scope, entry))
        return entry.values.get(key)

    async def put(self, scope: str, key: str, value: bytes) -> None:
        """Raises link.Lost and server.Refused."""
        self._scopes.setdefault(scope, _Scope()).values[key] = value
        if not scope.startswith(LOCAL_SCOPE):
            await self._ask("PUT", f"{quote(scope, safe='')}/{quote(key, safe='')}", value)

    async def delete(self, scope: str) -> None:
        """Only the first of the pod's ranks is heard. Raises link.Lost and server.Refused."""
        self.connected += scope.startswith(CROSS_SCOPE)
        entry = self._scopes.pop(scope, None)
        if entry is None:
            return
        if entry.follower is not None:
            entry.follower.cancel()
        if not scope.startswith(LOCAL_SCOPE):
            await self._ask("DELETE", quote(scope, safe=""))

    def close(self) -> None:
        for entry in self._scopes.values():
            if entry.follower is not None:
                entry.follower.cancel()

    async def _follow(self, scope: str, entry: _Scope) -> None:
        position = 0
        with contextlib.suppress(Lost, Refused):  # the agent's beat hears the same and ends the generation
            while True:
                target = f"{quote(scope, safe='')}?after={position}"
                answer = await self._ask("GET", target, hold_seconds=wire.JOIN_POLL_SECONDS)
                found = entries.decode(answer)
                entry.values.update(found)
                position += len(found)

    async def _ask(self, method: str, target: str, body: bytes = b"", *, hold_seconds: float = 0.0) -> bytes:
        target = f"{self._prefix}/{target}"
        return await self._link.ask(method, target, body, hold_seconds=hold_seconds, patience_seconds=self._patience)
