"""Which workers are connected, and since when those who were are not."""

from __future__ import annotations

import threading


class Presence:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: dict[int, int] = {}
        self._gone: dict[int, float] = {}

    def came(self, worker: int) -> None:
        with self._lock:
            self._connections[worker] = self._connections.get(worker, 0) + 1
            self._gone.pop(worker, None)

    def went(self, worker: int, now: float) -> None:
        with self._lock:
            left = self._connections.get(worker, 0) - 1
            self._connections[worker] = max(left, 0)
            if left == 0:
                self._gone[worker] = now

    def forget(self, worker: int) -> None:
        """It said goodbye: its absence is no news."""
        with self._lock:
            self._connections.pop(worker, None)
            self._gone.pop(worker, None)

    def present(self) -> list[int]:
        with self._lock:
            return [worker for worker, count in self._connections.items() if count]

    def absent(self, since: float) -> list[int]:
        """Workers that have had no connection since that time."""
        with self._lock:
            return [worker for worker, at in self._gone.items() if at <= since]
