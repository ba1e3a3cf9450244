from __future__ import annotations

from datetime import UTC, datetime

import pytest
from trireme.lifecycle.announce import Announcement, announcements
from trireme.lifecycle.conditions import condition
from trireme.spec.status import JobStatus, ReplicaCounts

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def status(phase: str | None, message: str = "", *facts: tuple[str, bool, str], **fields: object) -> JobStatus:
    conditions = [condition(kind, value, reason, message, NOW, 1) for kind, value, reason in facts]
    return JobStatus(phase=phase, message=message, conditions=conditions, **fields)  # type: ignore[arg-type]


NEW = JobStatus()
ASKED = status("Pending", "Pending: 0/2 pods run", ("Running", False, "PodsPending"))
MADE = status(
    "Pending", "Pending: 0/2 pods run", ("Running", False, "PodsPending"), workers=ReplicaCounts(desired=2, active=2)
)
NO_ROOM = status("Pending", "Pending: 2/2 unschedulable: Insufficient cpu", ("Running", False, "Unschedulable"))
NO_IMAGE = status("Pending", "worker-1: ImagePullBackOff: no such image", ("Running", False, "ImagePullBackOff"))
REFUSED = status("Pending", "Pending: the API server refuses a pod: quota", ("Running", False, "Refused"))
RUNS = status(
    "Running", "Running: 2/2 pods", ("Running", True, "AllPodsRun"),
    start_time=NOW, workers=ReplicaCounts(desired=2, active=2),
)  # fmt: skip
BROKEN = status("Running", "worker-1, rank 1: exit code 1: boom", ("Running", False, "RankFailed"), start_time=NOW)
FAILED = status(
    "Failed", "Failed: worker-1, rank 1: exit code 1: boom", ("Running", False, "Failed"), ("Failed", True, "Error")
)
WRONG = status("Failed", "Failed: invalid spec: spec.worker", ("Failed", True, "InvalidSpec"))
DONE = status("Succeeded", "Succeeded: 2 pods", ("Running", False, "Succeeded"), ("Succeeded", True, "AllRanksDone"))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(NEW, ASKED, (), id="a new job is no news"),
        pytest.param(ASKED, MADE, (), id="pods are made: the status says so, and a launch has no write to spare"),
        pytest.param(ASKED, NO_ROOM, (Announcement("Warning", "Unschedulable", NO_ROOM.message),), id="no room"),
        pytest.param(NO_ROOM, NO_ROOM, (), id="still no room"),
        pytest.param(
            NO_ROOM, NO_IMAGE, (Announcement("Warning", "ImagePullBackOff", NO_IMAGE.message),), id="another trouble"
        ),
        pytest.param(NO_IMAGE, ASKED, (), id="the trouble is over"),
        pytest.param(ASKED, REFUSED, (Announcement("Warning", "Refused", REFUSED.message),), id="refused"),
        pytest.param(MADE, RUNS, (Announcement("Normal", "Running", "Running: 2/2 pods"),), id="runs"),
        pytest.param(
            NEW,
            RUNS,
            (Announcement("Normal", "Running", "Running: 2/2 pods"),),
            id="a quick launch",
        ),
        pytest.param(RUNS, RUNS, (), id="runs on"),
        pytest.param(RUNS, BROKEN, (Announcement("Warning", "RankFailed", BROKEN.message),), id="a rank failed"),
        pytest.param(BROKEN, FAILED, (Announcement("Warning", "Failed", FAILED.message),), id="failed"),
        pytest.param(ASKED, WRONG, (Announcement("Warning", "InvalidSpec", WRONG.message),), id="invalid"),
        pytest.param(RUNS, DONE, (Announcement("Normal", "Succeeded", DONE.message),), id="succeeded"),
        pytest.param(DONE, DONE, (), id="over"),
    ],
)
def test_announcements(before: JobStatus, after: JobStatus, expected: tuple[Announcement, ...]) -> None:
    assert announcements(before, after) == expected
