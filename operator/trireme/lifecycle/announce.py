"""Which Events a change of status deserves. Pure: two statuses in, announcements out; nobody's API is known here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trireme.lifecycle import conditions
from trireme.spec.status import Condition, JobStatus

NORMAL = "Normal"
WARNING = "Warning"
INVALID_SPEC = "InvalidSpec"
QUIET = frozenset({"PodsPending", conditions.SUSPENDED, *conditions.FINAL})
"""Reasons of Running=False that are no news: pods that take their time, and phases, which have their own Events."""


@dataclass(frozen=True)
class Announcement:
    type: str
    """`Normal`, or `Warning` for what a person may have to look at."""
    reason: str
    note: str


def announcements(before: JobStatus, after: JobStatus) -> tuple[Announcement, ...]:
    """In the order in which they happened; empty when nothing is new that a reader of Events would want to know."""
    return (*_trouble(before, after), *_phase(before, after))


def _trouble(before: JobStatus, after: JobStatus) -> Iterator[Announcement]:
    """Why the job does not run, when that is another reason than before."""
    why, was = _stopped(after), _stopped(before)
    if why is not None and (was is None or was.reason != why.reason):
        yield Announcement(WARNING, why.reason, why.message)


def _stopped(status: JobStatus) -> Condition | None:
    running = conditions.find(status, conditions.RUNNING)
    if running is None or running.status == "True" or running.reason in QUIET:
        return None
    return running


def _phase(before: JobStatus, after: JobStatus) -> Iterator[Announcement]:
    if after.phase is None or after.phase == before.phase or after.phase == "Pending":
        return
    failed = conditions.find(after, conditions.FAILED)
    if failed is None or failed.status != "True":
        yield Announcement(NORMAL, after.phase, after.message)
    else:
        yield Announcement(WARNING, INVALID_SPEC if failed.reason == INVALID_SPEC else after.phase, after.message)
