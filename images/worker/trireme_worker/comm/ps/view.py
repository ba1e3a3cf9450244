"""Who serves: the coordinator's views as servers and workers see them.

The coordinator alone issues views (docs/adr/0012); they reach a process through its pod's agent. A `Watch` keeps the
newest view and wakes who waits for a newer one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from trireme.contract.wire import Serving, View

from trireme_worker.comm.ps.partition import Ring
from trireme_worker.comm.ps.table import Table

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.2
"""Between two questions to an agent that does not answer."""


class Directory(Protocol):
    """Where views come from. Both calls raise OSError when there is no answer."""

    def announce(self, serving: Serving) -> View:
        """A server says, once a second, that it is there and where it listens."""
        ...

    def view(self, after: int, finished: int | None = None) -> View:
        """The present view; held for some seconds until its number exceeds `after`, or until other than `finished`
        workers have ended well."""
        ...


class Placement:
    """What a view says of each range: its servers, the primary first. `backups`: how many follow the primary."""

    def __init__(self, view: View, backups: int) -> None:
        self.view = view
        self._copies = 1 + backups
        self._by_index = {serving.index: serving for serving in view.servers}
        self._placed: dict[str, tuple[tuple[int, ...], ...]] = {}

    @cached_property
    def _ring(self) -> Ring | None:
        return Ring(self._by_index) if self._by_index else None

    def owners(self, table: Table, index: int) -> tuple[int, ...]:
        """Indices of servers; empty when nobody serves."""
        if self._ring is None:
            return ()
        placed = self._placed.get(table.name)
        if placed is None:
            placed = self._placed[table.name] = self._ring.place(table.name, len(table.ranges), self._copies)
        return placed[index]

    def serving(self, index: int) -> Serving:
        return self._by_index[index]


class Watch:
    """The newest view, kept by a thread of its own.

    For a server: `heard(placement)` is called for each one, `ended(workers)` when other workers have ended well.
    """

    def __init__(
        self,
        directory: Directory,
        backups: int,
        heard: Callable[[Placement], None] | None = None,
        ended: Callable[[frozenset[int]], None] | None = None,
    ) -> None:
        self._heard = heard
        self._ended = ended
        self._finished: frozenset[int] = frozenset()
        self._directory = directory
        self._backups = backups
        self._changed = threading.Condition()
        self._closed = False
        self.placement = Placement(View(0, 0, ()), backups)
        self._thread = threading.Thread(target=self._run, name="ps-view", daemon=True)
        self._thread.start()

    def newer(self, than: int, seconds: float) -> Placement:
        """Waits until there is a view with a higher number, for at most `seconds`; then returns the newest."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.placement.view.number > than, seconds)
            return self.placement

    def complete(self, seconds: float) -> Placement:
        """Waits until as many servers serve as are desired, for at most `seconds`; then returns the newest."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or _whole(self.placement.view), seconds)
            return self.placement

    def offer(self, view: View) -> None:
        with self._changed:
            if self._ended is not None and view.number >= self.placement.view.number:
                self._end(frozenset(view.finished))
            if view.number > self.placement.view.number:
                self.placement = Placement(view, self._backups)
                self._changed.notify_all()
                if self._heard is not None:
                    self._heard(self.placement)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _end(self, finished: frozenset[int]) -> None:
        if finished != self._finished and self._ended is not None:
            self._finished = finished
            self._ended(finished)

    def _run(self) -> None:
        while not self._closed:
            known = None if self._ended is None else len(self._finished)
            try:
                self.offer(self._directory.view(self.placement.view.number, known))
            except OSError as error:
                log.debug("no view: %s", error)
                time.sleep(PAUSE_SECONDS)
            except Exception:  # whoever waits for the next view waits for this thread
                log.exception("no view")
                time.sleep(PAUSE_SECONDS)


def _whole(view: View) -> bool:
    return bool(view.servers) and len(view.servers) >= view.desired
