"""One watch on its way to a client: what is there, then every change, with bookmarks, until its time is over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from trireme.pocket.apiserver import errors
from trireme.pocket.apiserver.faults import Faults
from trireme.pocket.apiserver.options import is_true
from trireme.pocket.apiserver.present import Presenter
from trireme.pocket.apiserver.selection import selection, wants_initial_events, watch_start
from trireme.pocket.apiserver.store import Expired, Seen, Store, Watch

BOOKMARK_SECONDS: Final = 60.0
_LONGEST: Final = (1800.0, 3600.0)
"""Seconds that a watch without a limit of its own lives: a random time between these, as in kube-apiserver."""


async def stream(
    store: Store, presenter: Presenter, namespace: str | None, query: Mapping[str, str], faults: Faults
) -> AsyncIterator[bytes]:
    """The lines of a watch, many at a time. Raises ApiError before the first for parameters that are refused."""
    kind = presenter.kind
    chosen = selection(kind, namespace, query)
    start, initial = watch_start(query), wants_initial_events(query)
    bookmarks = is_true(query.get("allowWatchBookmarks", ""))
    seconds = float(query.get("timeoutSeconds") or random.uniform(*_LONGEST))
    allowed = faults.events_per_watch
    first: list[Seen] = []
    if initial or start is None:
        page = store.page(kind.resource, prefix=chosen.prefix, matches=chosen.matches)
        first = [Seen("ADDED", record) for record in page.records]
        start = max(start or 0, page.version)
    try:
        watch = store.watch(kind.resource, since=start, prefix=chosen.prefix, matches=chosen.matches)
    except Expired as error:
        yield _error(errors.expired(str(error)))
        return
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    sent = 0
    try:
        yield b"".join(presenter.event(seen, header=not at) for at, seen in enumerate(first))
        sent = len(first)
        if initial and bookmarks:
            yield presenter.bookmark(start, initial_events_end=True)
        while allowed is None or sent < allowed:
            seen_now = await _next(watch, min(BOOKMARK_SECONDS, end - loop.time()))
            if seen_now is None:
                if bookmarks:
                    yield presenter.bookmark(max(start, store.version))
                if loop.time() >= end:
                    return
                continue
            if not seen_now:
                return
            kept = seen_now if allowed is None else seen_now[: allowed - sent]
            yield b"".join(presenter.event(seen, header=not sent and not at) for at, seen in enumerate(kept))
            sent += len(kept)
    finally:
        store.unwatch(kind.resource, watch)


async def _next(watch: Watch, seconds: float) -> list[Seen] | None:
    """The next changes, an empty list when the watch was closed, None when the time is over."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            return await watch.batch()
    except TimeoutError:
        return None


def _error(error: errors.ApiError) -> bytes:
    return msgspec.json.encode({"type": "ERROR", "object": error.status}) + b"\n"
