from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.controller.statuspatch import status_patch
from trireme.pocket.objects.patch import merge_patch
from trireme.spec.status import Condition, Failure, JobStatus, Progress, ReplicaCounts

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def dump(status: JobStatus) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


@pytest.mark.parametrize(
    ("written", "status", "patch"),
    [
        pytest.param(dump(JobStatus(phase="Running")), JobStatus(phase="Running"), {}, id="no news"),
        pytest.param({}, JobStatus(), dump(JobStatus()), id="zeros are written once, for the printed columns"),
        pytest.param(
            dump(JobStatus(phase="Pending", message="a")), JobStatus(phase="Pending", message="b"),
            {"message": "b"}, id="only what changed",
        ),
        pytest.param(
            dump(JobStatus(workers=ReplicaCounts(desired=2, ready=1))),
            JobStatus(workers=ReplicaCounts(desired=2, ready=2)),
            {"workers": {"ready": 2}}, id="inside an object too",
        ),
        pytest.param(
            dump(JobStatus(progress=Progress(step=1, metrics={"loss": 1.0, "lr": 0.1}))),
            JobStatus(progress=Progress(step=1, metrics={"loss": 1.0})),
            {"progress": {"metrics": {"lr": None}}}, id="what is gone is removed",
        ),
        pytest.param(
            {**dump(JobStatus()), "later": {"version": 2}}, JobStatus(), {}, id="what a newer operator wrote stays",
        ),
    ],
)  # fmt: skip
def test_patches(written: dict[str, Any], status: JobStatus, patch: dict[str, Any]) -> None:
    assert status_patch(written, status) == patch


def test_times_are_no_news_when_read_back() -> None:
    condition = Condition(type="Running", status="True", reason="AllPodsRun", last_transition_time=NOW)
    status = JobStatus(conditions=[condition], start_time=NOW)
    written = dump(status)
    assert written["startTime"] == "2026-01-01T12:00:00Z"
    assert status_patch(written, JobStatus.model_validate(written)) == {}


_texts = st.text(max_size=3)
_statuses = st.builds(
    JobStatus,
    phase=st.none() | _texts,
    message=_texts,
    attempt=st.integers(0, 3),
    start_time=st.none() | st.just(NOW),
    progress=st.none()
    | st.builds(Progress, step=st.integers(0, 3), metrics=st.dictionaries(_texts, st.floats(0, 1), max_size=3)),
    failure=st.none()
    | st.builds(Failure, role=_texts, index=st.integers(0, 3), pod=_texts, reason=_texts, message=_texts),
)


@given(old=_statuses, new=_statuses)
def test_a_patched_status_is_the_new_one(old: JobStatus, new: JobStatus) -> None:
    assert merge_patch(dump(old), status_patch(dump(old), new)) == dump(new)
