"""Asks the coordinators of running jobs how far they are, and tells them what becomes of a failure that they hold.

What they say decorates status: a coordinator that does not answer is no failure, the pods' states are the truth. Only
of pods that run and are silent (lifecycle/silence.py), or whose processes have failed (docs/adr/0019), they tell what
no state does. A question is held by the coordinator while there is no news, so that a failure is heard of at once.
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
NEWS_PAUSE_SECONDS = 0.1
"""Before the next question when there was news: a coordinator is the user's pod, and may have news all the time."""
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
    report: wire.News | None = None
    missing_since: float | None = None
    """When the first of the questions in a row that had no answer was asked, on the loop's clock."""
    silent: bool = False
    followed: bool = False
    """A task asks it, again and again."""
    ruled: int = 0
    """Rulings that it has heard: an answer from before the last one is no news."""


class Poller:
    """`changed` is called with the key of a job of which there is news: another report, silence, an answer again."""

    def __init__(self, changed: Callable[[Key], None], *, seconds: float, concurrency: int) -> None:
        self._changed = changed
        self._seconds = seconds
        self._slots = asyncio.Semaphore(concurrency)
        self._asked: dict[Key, _Asked] = {}
        self._wanted = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None

    def want(self, key: Key, target: Target) -> None:
        asked = self._asked.get(key)
        if asked is None or asked.target != target:
            self._asked[key] = _Asked(target)
            self._wanted.set()

    def drop(self, key: Key) -> None:
        self._asked.pop(key, None)

    def report(self, key: Key) -> wire.News | None:
        """The coordinator's last word."""
        asked = self._asked.get(key)
        return asked.report if asked else None

    def silent(self, key: Key) -> bool:
        """Whether the coordinator has not answered for SILENT_SECONDS."""
        asked = self._asked.get(key)
        return asked is not None and asked.silent

    async def __aenter__(self) -> Poller:
        timeout = aiohttp.ClientTimeout(total=wire.NEWS_SECONDS + ANSWER_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def run(self) -> None:
        """Until cancelled; one task a job. What was heard in an earlier run may be of long ago, and is forgotten."""
        self._asked = {key: _Asked(asked.target) for key, asked in self._asked.items()}
        async with asyncio.TaskGroup() as group:
            while True:
                self._wanted.clear()
                for key, asked in self._asked.items():
                    if not asked.followed:
                        asked.followed = True
                        group.create_task(self._follow(key, asked))
                await self._wanted.wait()

    async def rule(self, key: Key, ruling: wire.Ruling) -> bool:
        """Whether the coordinator has heard it. What it answers may be all the news that there will be."""
        asked = self._asked.get(key)
        if asked is None:
            return False
        try:
            answer = await asyncio.wait_for(self._fetch(asked.target, wire.RULING_PATH, ruling), ANSWER_SECONDS)
            before, asked.report, asked.ruled = asked.report, codec.decode(wire.News, answer), asked.ruled + 1
        except (aiohttp.ClientError, TimeoutError, OSError, codec.BadMessage) as error:
            log.info("ruling not heard job=%s/%s address=%s error=%r", *key, asked.target.address, error)
            return False
        log.info("ruling job=%s/%s pod=%s attempt=%s", *key, ruling.incarnation, ruling.next_attempt)
        if asked.report != before:
            self._changed(key)
        return True

    async def _follow(self, key: Key, asked: _Asked) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while self._asked.get(key) is asked:
                began, number = clock(), _number(asked)
                await self._ask(key, asked)
                pause = NEWS_PAUSE_SECONDS if _number(asked) != number else self._seconds - (clock() - began)
                await asyncio.sleep(max(0.0, pause))
        finally:
            asked.followed = False

    async def _ask(self, key: Key, asked: _Asked) -> None:
        before, ruled = (asked.report, asked.silent), asked.ruled
        asked_at = asyncio.get_running_loop().time()
        try:
            async with self._slots:
                path = f"{wire.STATUS_PATH}?after={_number(asked)}"
                news = codec.decode(wire.News, await self._fetch(asked.target, path))
        except (aiohttp.ClientError, TimeoutError, OSError, codec.BadMessage) as error:
            log.debug("no report job=%s/%s address=%s error=%r", *key, asked.target.address, error)
            if asked.missing_since is None:
                asked.missing_since = asked_at
            asked.silent = asked_at - asked.missing_since >= SILENT_SECONDS
        else:
            asked.missing_since, asked.silent = None, False
            asked.report = news if asked.ruled == ruled else asked.report
        if self._asked.get(key) is asked and (asked.report, asked.silent) != before:
            self._changed(key)

    async def _fetch(self, target: Target, path: str, said: wire.Ruling | None = None) -> bytes:
        """`said` is sent; else nothing is but the question."""
        assert self._session is not None
        host = f"[{target.address}]" if ":" in target.address else target.address
        url = f"http://{host}:{names.COORDINATOR_PORT}{path}"
        method, data = ("GET", None) if said is None else ("POST", codec.encode(said))
        headers = {"Authorization": wire.bearer(target.token)}
        async with self._session.request(
            method, url, data=data, headers=headers, allow_redirects=False, raise_for_status=True
        ) as response:
            body = b""
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > ANSWER_MAX:
                    raise codec.BadMessage(f"a report of more than {ANSWER_MAX} bytes")
            return body


def _number(asked: _Asked) -> int:
    return asked.report.number if asked.report is not None else 0
