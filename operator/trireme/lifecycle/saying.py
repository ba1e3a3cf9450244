"""Phase, message and conditions of a status, all saying the same."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from trireme.lifecycle import conditions
from trireme.spec.status import JobStatus

Change = tuple[str, bool, str]
"""Type, status and reason of a condition."""


def say(
    status: JobStatus,
    generation: int,
    now: datetime,
    phase: str,
    text: str,
    *changes: Change,
    begins: Change | None = None,
) -> JobStatus:
    """`begins`: a condition whose time is now, whatever it was before."""
    listed = list(status.conditions)
    for kind, value, reason in changes:
        listed = conditions.put(listed, conditions.condition(kind, value, reason, text, now, generation))
    if begins is not None:
        kind, value, reason = begins
        listed = conditions.begin(listed, conditions.condition(kind, value, reason, text, now, generation))
    update: dict[str, Any] = {"phase": phase, "message": text, "conditions": listed, "observed_generation": generation}
    return status.model_copy(update=update)


def restarted(status: JobStatus, reason: str) -> tuple[Change, ...]:
    """That the job restarts no more; nothing of a job that did not."""
    return ((conditions.RESTARTING, False, reason),) if conditions.is_true(status, conditions.RESTARTING) else ()
