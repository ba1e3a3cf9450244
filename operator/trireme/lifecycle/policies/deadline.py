"""`spec.deadlines` and `spec.cleanup.ttlSecondsAfterFinished`: seconds left. Below 0: over; None: no such deadline."""

from __future__ import annotations

from datetime import datetime

from trireme.lifecycle import conditions
from trireme.spec.model import JobSpec
from trireme.spec.status import JobStatus

EXCEEDED = "DeadlineExceeded"
"""In batch/v1's words."""


def active_left(spec: JobSpec, status: JobStatus, now: datetime) -> float | None:
    """Of the time that the job may run, restarts included; it stands still while the job is suspended."""
    limit = spec.deadlines.active_seconds
    if limit is None or status.start_time is None:
        return None
    return limit - active_seconds(status, now)


def active_seconds(status: JobStatus, now: datetime) -> float:
    ran = (now - status.start_time).total_seconds() if status.start_time is not None else 0.0
    return status.active_seconds + ran


def pending_left(spec: JobSpec, status: JobStatus, now: datetime) -> float | None:
    """Of the time in which all pods have nodes and not all run; None while one has no node."""
    limit = spec.deadlines.pending_seconds
    placed = conditions.since(status, conditions.SCHEDULED, True)
    if limit is None or placed is None:
        return None
    again = conditions.since(status, conditions.RESTARTING, True) or placed
    return limit - (now - max(placed, again)).total_seconds()


def ttl_left(limit: int | None, status: JobStatus, now: datetime) -> float | None:
    """Of the time for which a finished job is kept. `limit`: what it says of it."""
    if limit is None or status.completion_time is None:
        return None
    return limit - (now - status.completion_time).total_seconds()
