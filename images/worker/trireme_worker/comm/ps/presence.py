"""Which workers are connected, and for how much longer those who are not are waited for."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection


class Presence:
    """Times are monotonic seconds.

    leave_seconds: for a worker that was here. arrive_seconds: for one that never was, because it still starts, or was
    lost before this server came.
    """

    def __init__(self, leave_seconds: float, arrive_seconds: float) -> None:
        self._leave_seconds = leave_seconds
        self._arrive_seconds = arrive_seconds
        self._lock = threading.Lock()
        self._connections: dict[int, int] = {}
        self._until: dict[int, float] = {}

    def came(self, worker: int) -> None:
        with self._lock:
            self._connections[worker] = self._connections.get(worker, 0) + 1
            self._until.pop(worker, None)

    def went(self, worker: int, now: float) -> None:
        with self._lock:
            left = self._connections.get(worker, 0) - 1
            self._connections[worker] = max(left, 0)
            if left == 0:
                self._until[worker] = now + self._leave_seconds

    def forget(self, worker: int) -> None:
        """It said goodbye: its absence is no news."""
        with self._lock:
            self._connections.pop(worker, None)
            self._until.pop(worker, None)

    def present(self) -> list[int]:
        with self._lock:
            return [worker for worker, count in self._connections.items() if count]

    def absent(self, awaited: Collection[int], now: float) -> list[int]:
        """Those of the awaited workers that have been away for too long."""
        with self._lock:
            for worker in awaited:
                if not self._connections.get(worker):
                    self._until.setdefault(worker, now + self._arrive_seconds)
            return [worker for worker in awaited if self._until.get(worker, math.inf) <= now]
