"""Which of some optional kinds the API server serves. Custom resources come and go, so no answer holds for ever."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from trireme.cluster.client import Client
from trireme.plan.plan import ApiKind

FRESH_SECONDS = 300.0


class Discovery:
    """One answer for everybody who asks."""

    def __init__(self, client: Client, kinds: Iterable[ApiKind]) -> None:
        self._client = client
        self._kinds = frozenset(kinds)
        self._served: frozenset[ApiKind] = frozenset()
        self._asked_at = -math.inf
        self._asking = asyncio.Lock()

    async def served(self, fresh_seconds: float = FRESH_SECONDS) -> frozenset[ApiKind]:
        """Those that are served; an answer older than `fresh_seconds` is not good enough. Raises ApiError."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._asked_at > fresh_seconds:
                versions = sorted({version for version, _ in self._kinds})
                answers = await asyncio.gather(*(self._client.kinds(version) for version in versions))
                told = {(version, kind) for version, kinds in zip(versions, answers, strict=True) for kind in kinds}
                self._served, self._asked_at = self._kinds & told, now
            return self._served

    def forget(self) -> None:
        """A kind turned out not to be served: the next one who asks is told anew."""
        self._asked_at = -math.inf
