"""Whether this process may write to the cluster now. It knows until when, and not why.

The elector moves that time; the client asks right before each write is sent. A process that was paused, or whose event
loop stood still, finds the fence closed when it goes on: the clock did not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

from trireme.cluster.errors import Fenced


class Fence:
    """Closed at first."""

    def __init__(self) -> None:
        self._until = -math.inf
        self._crossings: set[asyncio.Timeout] = set()

    @property
    def open(self) -> bool:
        return asyncio.get_running_loop().time() < self._until

    def open_until(self, when: float) -> None:
        """On the loop's clock, which is monotonic. Holds for what is under way, too."""
        self._until = when
        for crossing in self._crossings:
            if not crossing.expired():
                crossing.reschedule(when)

    def close(self) -> None:
        self.open_until(-math.inf)

    def check(self) -> None:
        """Raises Fenced when it is closed."""
        if not self.open:
            raise Fenced

    @contextlib.asynccontextmanager
    async def crossing(self) -> AsyncIterator[None]:
        """Around what must not go on behind a closed fence: it is cancelled when the fence closes. Raises Fenced."""
        self.check()
        try:
            async with asyncio.timeout_at(self._until) as crossing:
                self._crossings.add(crossing)
                try:
                    yield
                finally:
                    self._crossings.discard(crossing)
        except TimeoutError:
            raise Fenced from None
