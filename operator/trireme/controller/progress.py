"""Asks the coordinators of running jobs how far they are.

What they say only decorates status: a coordinator that does not answer is no failure, the pods' states are the truth.
Only of pods that run and are silent they tell what no state does (lifecycle/silence.py).
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
SILENT_SECONDS = 30.0
"""A coordinator needs some seconds to start; one that does not answer for so long cannot be reached."""
ANSWER_MAX = 64 * 1024
"""Bytes of a report; a longer one is not ours."""


@dataclass(frozen=True)
class Target:
    uid: str
    address: str
    """IP address of the coordinator's pod."""
    token: str


@dataclass
class _Asked:
    target: Target
    report: wire.JobReport | None = None
    missing_since: float | None = None
    """When the first of the questions in a row that had no answer was asked, on the loop's clock."""
    silent: bool = False


class Poller:
    """`changed` is called with the key of a job of which there is news: another report, silence, an answer again."""

    def __init__(self, changed: Callable[[Key], None], *, seconds: float, concurrency: int) -> None:
        self._changed = changed
        self._seconds = seconds
        self._slots = asyncio.Semaphore(concurrency)
        self._asked: dict[Key, _Asked] = {}
        self._session: aiohttp.ClientSession | None = None

    def want(self, key: Key, target: Target) -> None:
        asked = self._asked.get(key)
        if asked is None or asked.target != target:
            self._asked[key] = _Asked(target)

    def drop(self, key: Key) -> None:
        self._asked.pop(key, None)

    def report(self, key: Key) -> wire.JobReport | None:
        """The coordinator's last word."""
        asked = self._asked.get(key)
        return asked.report if asked else None

    def silent(self, key: Key) -> bool:
        """Whether the coordinator has not answered for SILENT_SECONDS."""
        asked = self._asked.get(key)
        return asked is not None and asked.silent

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
            await asyncio.gather(*(self._ask(key, asked) for key, asked in self._asked.items()))
            await asyncio.sleep(self._seconds)

    async def _ask(self, key: Key, asked: _Asked) -> None:
        before = asked.report, asked.silent
        asked_at = asyncio.get_running_loop().time()
        try:
            async with self._slots:
                asked.report = codec.decode(wire.JobReport, await self._fetch(asked.target))
        except (aiohttp.ClientError, TimeoutError, OSError, codec.BadMessage) as error:
            log.debug("no report job=%s/%s address=%s error=%r", *key, asked.target.address, error)
            if asked.missing_since is None:
                asked.missing_since = asked_at
            asked.silent = asked_at - asked.missing_since >= SILENT_SECONDS
        else:
            asked.missing_since, asked.silent = None, False
        if self._asked.get(key) is asked and (asked.report, asked.silent) != before:
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
