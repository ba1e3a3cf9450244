"""Asks the coordinators of running jobs how far they are.

What they say only decorates status: a coordinator that does not answer is no failure, the pods' states are the truth.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import aiohttp

from trireme.contract import codec, names, wire

log = logging.getLogger(__name__)

Key = tuple[str, str]
ANSWER_SECONDS = 2.0
ANSWER_MAX = 64 * 1024
"""Bytes of a report; a longer one is not ours."""


@dataclass(frozen=True)
class Target:
    uid: str
    address: str
    """IP address of the coordinator's pod."""
    token: str


class Poller:
    """`changed` is called with the key of a job whose report is another than before."""

    def __init__(self, changed: Callable[[Key], None], *, seconds: float, concurrency: int) -> None:
        self._changed = changed
        self._seconds = seconds
        self._slots = asyncio.Semaphore(concurrency)
        self._targets: dict[Key, Target] = {}
        self._reports: dict[Key, wire.JobReport] = {}
        self._session: aiohttp.ClientSession | None = None

    def want(self, key: Key, target: Target) -> None:
        if self._targets.get(key) != target:
            self._targets[key] = target
            self._reports.pop(key, None)

    def drop(self, key: Key) -> None:
        self._targets.pop(key, None)
        self._reports.pop(key, None)

    def report(self, key: Key) -> wire.JobReport | None:
        """The coordinator's last word."""
        return self._reports.get(key)

    async def __aenter__(self) -> Poller:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def run(self) -> None:
        """Until cancelled: one round over all jobs, then a pause."""
        while True:
            await asyncio.gather(*(self._ask(key, target) for key, target in self._targets.items()))
            await asyncio.sleep(self._seconds)

    async def _ask(self, key: Key, target: Target) -> None:
        try:
            async with self._slots:
                report = codec.decode(wire.JobReport, await self._fetch(target))
        except (aiohttp.ClientError, TimeoutError, OSError, codec.BadMessage) as error:
            log.debug("no report job=%s/%s address=%s error=%r", *key, target.address, error)
            return
        if self._targets.get(key) == target and self._reports.get(key) != report:
            self._reports[key] = report
            self._changed(key)

    async def _fetch(self, target: Target) -> bytes:
        assert self._session is not None
        host = f"[{target.address}]" if ":" in target.address else target.address
        url = f"http://{host}:{names.COORDINATOR_PORT}{wire.STATUS_PATH}"
        headers = {"Authorization": wire.bearer(target.token)}
        async with self._session.get(url, headers=headers, allow_redirects=False, raise_for_status=True) as response:
            body = b""
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > ANSWER_MAX:
                    raise codec.BadMessage(f"a report of more than {ANSWER_MAX} bytes")
            return body
