"""Conditions as a list map (Kubernetes API conventions): one entry a type, the time moves only when the status does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from trireme.spec.status import Condition, JobStatus

SCHEDULED = "Scheduled"
RUNNING = "Running"
RESTARTING = "Restarting"
SUSPENDED = "Suspended"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
FINAL = (SUCCEEDED, FAILED)


def find(status: JobStatus, kind: str) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == kind), None)


def is_true(status: JobStatus, kind: str) -> bool:
    condition = find(status, kind)
    return condition is not None and condition.status == "True"


def finished(status: JobStatus) -> bool:
    return any(is_true(status, kind) for kind in FINAL)


def put(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """The list with `new` in its predecessor's place; the transition time is kept when the status is the same."""
    result = []
    placed = False
    for old in conditions:
        if old.type != new.type:
            result.append(old)
            continue
        same = old.status == new.status
        result.append(new.model_copy(update={"last_transition_time": old.last_transition_time}) if same else new)
        placed = True
    return result if placed else [*result, new]


def begin(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """As `put`, but the transition time is new even though the status may be the same: something begins once more."""
    return [new if each.type == new.type else each for each in put(conditions, new)]


def since(status: JobStatus, kind: str, value: bool) -> datetime | None:
    """When the condition got that status; None when it has another, or is not there."""
    found = find(status, kind)
    return found.last_transition_time if found is not None and found.status == str(value) else None


def condition(kind: str, status: bool, reason: str, message: str, now: datetime, generation: int) -> Condition:
    return Condition(
        type=kind,
        status=str(status),
        reason=reason,
        message=message,
        last_transition_time=now,
        observed_generation=generation,
    )
