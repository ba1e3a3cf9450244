"""Competes for the lease and leads while it is ours. What leading means is the caller's.

Two candidates never write at the same time: a leader stops `renew_seconds` after it asked for its last successful
renewal, the others begin `lease_seconds` after they saw that renewal, which was later. docs/adr/0010 has the argument.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from trireme.cluster import backoff, lease
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError, Fenced
from trireme.cluster.fence import Fence
from trireme.cluster.lease import Action, Lease, Sighting, Terms
from trireme.cluster.resources import LEASES

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]


def new_identity() -> str:
    """Another one for each process: a successor on the same host must not take its predecessor's lease for its own."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


@dataclass
class Elector:
    """One candidate. `client` is its own, so that no other request is before it in a queue, and has no fence."""

    client: Client
    fence: Fence
    namespace: str
    name: str
    """Candidates for one lease are one another's replicas."""
    terms: Terms
    identity: str
    _seen: Sighting | None = field(default=None, init=False)
    _mine: Lease | None = field(default=None, init=False)
    """The lease as we last wrote it; None when that is not known."""
    _claimed: bool = field(default=False, init=False)
    """It may be ours: we wrote it, with or without an answer, and have not seen another's name in it since."""

    async def run(self, work: Work) -> None:
        """Until cancelled. While the lease is ours `work()` runs; it is cancelled when that ends, and begins anew."""
        try:
            while True:
                await self._acquire()
                log.info("leading lease=%s/%s identity=%s", self.namespace, self.name, self.identity)
                await self._lead(work)
                log.warning("leadership lost lease=%s/%s identity=%s", self.namespace, self.name, self.identity)
        finally:
            await self._release()

    async def _acquire(self) -> None:
        while not await self._try():
            await self._pause()

    async def _lead(self, work: Work) -> None:
        try:
            with contextlib.suppress(Fenced):
                async with self.fence.crossing(), asyncio.TaskGroup() as group:
                    group.create_task(work())
                    await self._keep()
        finally:
            self.fence.close()

    async def _keep(self) -> None:
        """Until the fence closes: by itself when no renewal succeeds, by us when the lease is another's."""
        while True:
            await self._pause()
            if await self._try() is False:
                self.fence.close()

    async def _try(self) -> bool | None:
        """Whether the lease is ours now; None: not known."""
        try:
            async with asyncio.timeout(self.terms.attempt_seconds):
                return await self._attempt()
        except (ApiError, TimeoutError) as error:
            quicker = isinstance(error, ApiError) and (error.conflict or error.already_exists)
            level = logging.DEBUG if quicker else logging.WARNING
            log.log(level, "lease not claimed lease=%s/%s error=%r", self.namespace, self.name, error)
            return None

    async def _attempt(self) -> bool:
        found = self._mine or await self._read()
        self._mine = None
        now = asyncio.get_running_loop().time()
        self._seen = lease.sight(self._seen, found, now)
        action = lease.decide(self._seen, self.identity, now)
        self._claimed = action is not Action.WAIT
        if not self._claimed:
            return False
        claim = lease.claim(found, self.identity, self.terms, datetime.now(UTC))
        if action is Action.CREATE:
            answer = await self.client.create(LEASES, self.namespace, lease.manifest(self.namespace, self.name, claim))
        else:
            answer = await self.client.patch(LEASES, self.namespace, self.name, claim)
        self._mine = lease.of_object(answer, self.terms)
        self.fence.open_until(now + self.terms.renew_seconds)  # from before it was sent: nobody saw it earlier
        return True

    async def _read(self) -> Lease | None:
        try:
            return lease.of_object(await self.client.get(LEASES, self.namespace, self.name), self.terms)
        except ApiError as error:
            if not error.not_found:
                raise
            return None

    async def _release(self) -> None:
        """A hand-over takes one retry of the others instead of a whole lease."""
        if not self._claimed:
            return
        try:
            async with asyncio.timeout(self.terms.attempt_seconds):
                found = self._mine or await self._read()
                if found is not None and found.holder == self.identity:
                    await self.client.patch(LEASES, self.namespace, self.name, lease.release(found, datetime.now(UTC)))
        except (ApiError, TimeoutError) as error:
            log.warning("lease not released, it ends by itself lease=%s/%s error=%r", self.namespace, self.name, error)

    async def _pause(self) -> None:
        retry = self.terms.retry_seconds
        await asyncio.sleep(backoff.delay(1, first=retry, cap=retry))
