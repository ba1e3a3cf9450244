"""The agent's calls to the coordinator: the same question again and again, ever more slowly, until patience ends."""

from __future__ import annotations

import asyncio
import random
import time

from trireme_worker.client import Client, Unreachable

ANSWER_SECONDS = 10.0
"""For an answer, beyond the time for which the coordinator may hold it."""
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
"""A lost coordinator's successor is found so soon; a thousand pods then ask two thousand times a second."""


class Lost(Exception):
    """The coordinator has not answered for as long as patience lasts."""


class Link:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._heard = time.monotonic()

    async def ask(
        self, method: str, target: str, body: bytes = b"", *, hold_seconds: float = 0.0, patience_seconds: float
    ) -> bytes:
        """Raises server.Refused, and Lost when nothing was heard for `patience_seconds`, by any call of this link."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = await self.try_once(method, target, body, seconds=hold_seconds + ANSWER_SECONDS)
            except Unreachable as error:
                if time.monotonic() - self._heard > patience_seconds:
                    raise Lost(str(error)) from error
            else:
                return answer
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def try_once(self, method: str, target: str, body: bytes = b"", *, seconds: float) -> bytes:
        """Raises server.Refused and client.Unreachable."""
        answer = await self._client.call(method, target, body, seconds=seconds)
        self._heard = time.monotonic()
        return answer
