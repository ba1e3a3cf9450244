"""How many restarts count against `spec.restart.limit`, and how long to wait before the next one.

Nothing is stored for it but `restartsSpent`: when the job last began to run well is the time of a condition.
"""

from __future__ import annotations

from datetime import datetime

from trireme.lifecycle import conditions
from trireme.spec.model import Restart
from trireme.spec.status import JobStatus

COUNTED = "RankFailed"
BACK_OFF = "BackOff"
"""Counted as well, and with a pause."""
DISRUPTED = "Disrupted"
DISRUPTED_AGAIN = "DisruptedAgain"
"""Reasons of condition Restarting."""
PAUSING = frozenset({BACK_OFF, DISRUPTED_AGAIN})
AGAIN_SECONDS = 60.0
"""A disruption within so long after the last recovery: it may go on like that."""
AGAIN_PAUSE_SECONDS = 10.0
CAP_SECONDS = 300.0


def spent(status: JobStatus, restart: Restart, now: datetime) -> int:
    """Restarts that count; none when the job has run well for `resetAfterSeconds`."""
    return 0 if _well_for(status, now) >= restart.reset_after_seconds else status.restarts_spent


def reason(status: JobStatus, restart: Restart, now: datetime, *, counted: bool) -> str:
    """Of the condition Restarting that is about to begin. The first restart is quick."""
    if counted:
        return BACK_OFF if spent(status, restart, now) and restart.backoff_seconds else COUNTED
    return DISRUPTED_AGAIN if status.attempt and _well_for(status, now) < AGAIN_SECONDS else DISRUPTED


def pause(reason: str, spent: int, restart: Restart) -> float:
    """Seconds between the beginning of a restart and its pods. `spent`: this one is counted in it."""
    if reason == DISRUPTED_AGAIN:
        return AGAIN_PAUSE_SECONDS
    if reason != BACK_OFF:
        return 0.0
    return min(CAP_SECONDS, restart.backoff_seconds * 2.0 ** max(0, min(16, spent - 2)))


def pause_left(status: JobStatus, restart: Restart, now: datetime) -> float:
    begun = conditions.find(status, conditions.RESTARTING)
    if begun is None or begun.status != "True":
        return 0.0
    whole = pause(begun.reason, status.restarts_spent, restart)
    return max(0.0, whole - (now - begun.last_transition_time).total_seconds())


def _well_for(status: JobStatus, now: datetime) -> float:
    """Seconds since all pods began to run; 0 while they do not."""
    if status.start_time is None or conditions.is_true(status, conditions.RESTARTING):
        return 0.0
    recovered = conditions.since(status, conditions.RESTARTING, False)
    return (now - max(status.start_time, recovered or status.start_time)).total_seconds()
