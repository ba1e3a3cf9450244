"""Keeps our writes below what an API server likes: a token bucket for the rate, a semaphore for how many at once."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Throttle:
    """`async with throttle:` around one write. Waiters go in the order in which they came.

    rate: writes a second in the long run; burst: how many may go at once after a pause; concurrency: how many are
    under way at any moment.
    """

    def __init__(self, rate: float, burst: int, concurrency: int) -> None:
        self._interval = 1 / rate
        self._allowance = (burst - 1) * self._interval
        self._slots = asyncio.Semaphore(concurrency)
        self._next = 0.0
        """When the bucket would be empty no longer, on the loop's clock; each write moves it by one interval."""

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now - self._allowance)
        wait = self._next - now
        self._next += self._interval
        if wait > 0:
            try:
                await asyncio.sleep(wait)
            except BaseException:
                self._slots.release()
                raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.release()
