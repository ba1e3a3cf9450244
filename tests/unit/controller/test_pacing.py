from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from trireme.controller.pacing import may_wait, pause
from trireme.spec.status import Condition, Failure, JobStatus, Progress, ReplicaCounts

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def running(reason: str, message: str, status: str = "False") -> Condition:
    return Condition(
        type="Running", status=status, reason=reason, message=message, last_transition_time=NOW, observed_generation=1
    )


BEFORE = JobStatus(
    phase="Pending", message="1/4", workers=ReplicaCounts(desired=4, ready=1), workers_ready="1/4",
    conditions=[running("PodsPending", "1/4")],
)  # fmt: skip

FAILURE = Failure(role="worker", index=0, pod="a", reason="Error", message="")


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        pytest.param({}, True, id="nothing"),
        pytest.param(
            {
                "message": "2/4", "workers": ReplicaCounts(desired=4, ready=2), "workers_ready": "2/4",
                "conditions": [running("PodsPending", "2/4")],
            },
            True, id="counts",
        ),
        pytest.param({"progress": Progress(step=3)}, True, id="progress"),
        pytest.param({"phase": "Running"}, False, id="phase"),
        pytest.param({"conditions": [running("ImagePullBackOff", "1/4")]}, False, id="a problem"),
        pytest.param({"conditions": [running("PodsPending", "1/4", "True")]}, False, id="a verdict"),
        pytest.param({"conditions": []}, False, id="a verdict that is gone"),
        pytest.param({"failure": FAILURE}, False, id="failure"),
        pytest.param({"start_time": NOW}, False, id="start"),
        pytest.param({"attempt": 1}, False, id="attempt"),
    ],
)  # fmt: skip
def test_may_wait(change: dict[str, Any], waits: bool) -> None:
    written = BEFORE.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert may_wait(written, BEFORE.model_copy(update=change)) is waits


def test_the_first_status_cannot_wait() -> None:
    assert not may_wait({}, BEFORE)


@pytest.mark.parametrize(
    ("phase", "pauses"),
    [("Pending", [1, 2, 4, 8, 16, 32, 60, 60]), ("Running", [1, 2, 4, 8, 10, 10, 10, 10])],
)
def test_pauses_grow_up_to_a_cap(phase: str, pauses: list[float]) -> None:
    assert [pause(quiet, phase, 1.0) for quiet in range(8)] == pauses
    assert pause(10_000, phase, 1.0) == pauses[-1]
