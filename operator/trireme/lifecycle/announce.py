"""Which Events a change of status deserves. Pure: two statuses in, announcements out; nobody's API is known here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trireme.lifecycle import conditions
from trireme.lifecycle.message import PODS_PENDING
from trireme.lifecycle.policies import budget
from trireme.lifecycle.policies.deadline import EXCEEDED
from trireme.spec.status import Condition, JobStatus

NORMAL = "Normal"
WARNING = "Warning"
INVALID_SPEC = "InvalidSpec"
UNTOLD = frozenset({"Pending", conditions.RESTARTING})
"""Phases that are told by their reasons."""
OWN_WORDS = frozenset({INVALID_SPEC, EXCEEDED})
"""Reasons of a failed job that are its Event's too; the others are a rank's."""
QUIET = frozenset({PODS_PENDING, conditions.RESTARTING, conditions.SUSPENDED, *conditions.FINAL})
"""Reasons of Running=False that are no news: pods that take their time, and phases, which have their own Events."""


@dataclass(frozen=True)
class Announcement:
    type: str
    """`Normal`, or `Warning` for what a person may have to look at."""
    reason: str
    note: str


def announcements(before: JobStatus, after: JobStatus) -> tuple[Announcement, ...]:
    """In the order in which they happened; empty when nothing is new that a reader of Events would want to know."""
    news = _trouble, _restart, _phase
    return tuple(each for part in news for each in part(before, after))


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


def _restart(before: JobStatus, after: JobStatus) -> Iterator[Announcement]:
    begun = conditions.find(after, conditions.RESTARTING)
    if after.attempt <= before.attempt or begun is None:
        return
    disrupted = begun.reason in (budget.DISRUPTED, budget.DISRUPTED_AGAIN)
    yield Announcement(WARNING, budget.DISRUPTED if disrupted else conditions.RESTARTING, after.message)
    if begun.reason in budget.PAUSING:
        yield Announcement(NORMAL, budget.BACK_OFF, "not for the first time: it goes on after a pause")


def _phase(before: JobStatus, after: JobStatus) -> Iterator[Announcement]:
    if after.phase is None or after.phase == before.phase or after.phase in UNTOLD:
        return
    failed = conditions.find(after, conditions.FAILED)
    if failed is None or failed.status != "True":
        yield Announcement(NORMAL, after.phase, after.message)
    else:
        yield Announcement(WARNING, failed.reason if failed.reason in OWN_WORDS else after.phase, after.message)
