"""When a change of status may wait, and for how long. Pure.

What a user has to act upon is written at once. Counts and progress change all the time: the longer a launch or a run
takes, the longer they wait, so that a slow launch costs the API server a handful of writes and not one a pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trireme.spec.status import JobStatus

RUNNING_CAP = 10.0
"""Seconds; people watch progress."""
CAP = 60.0
"""Seconds, when it does not run: a launch of two minutes costs eight writes."""
_MAY_WAIT = {"message", "workers", "servers", "workersReady", "progress", "conditions"}


def may_wait(written: Mapping[str, Any], status: JobStatus) -> bool:
    """Whether only counts, progress and words differ; `written`: `.status` as the API server has it."""
    new = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return _verdicts(written) == _verdicts(new) and all(
        written.get(key) == new.get(key) for key in (written.keys() | new.keys()) - _MAY_WAIT
    )


def pause(quiet: int, phase: str | None, first: float) -> float:
    """Seconds between the last write and the next one that may wait, after so many of them in a row: doubling."""
    return min(first * 2.0 ** min(quiet, 16), RUNNING_CAP if phase == "Running" else CAP)


def _verdicts(status: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions") or ()}
