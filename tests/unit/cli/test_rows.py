from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.console import Console
from trireme.cli.rows import Row, bar, coloured, columns, plain, row

NOW = datetime(2026, 1, 1, 0, 2, 30, tzinfo=UTC)
JOB = {
    "metadata": {"namespace": "team", "name": "digits", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "status": {
        "phase": "Running",
        "message": "Running: 2/2 pods",
        "workersReady": "2/2",
        "restarts": 1,
        "progress": {"step": 45, "totalSteps": 100, "percent": 45, "display": "45%"},
    },
}
ROW = Row("team", "digits", "Running", "2/2", 45, "45%", 1, "2m30s", "Running: 2/2 pods")


def test_a_job_as_a_row() -> None:
    assert row(JOB, NOW) == ROW


def test_a_message_is_shown_without_its_control_characters() -> None:
    steered = JOB | {"status": JOB["status"] | {"message": "Failed: \x1b[31mboom\x1bc"}}
    assert row(steered, NOW).message == r"Failed: boom\x1bc"


def test_a_job_that_nobody_looked_at_yet() -> None:
    fresh = {"metadata": JOB["metadata"]}
    assert row(fresh, NOW) == Row(
        "team", "digits", "Pending", "", None, "", 0, "2m30s", "no operator has looked at it yet"
    )


@pytest.mark.parametrize(
    ("namespaces", "expected"),
    [
        (
            False,
            [
                "NAME     PHASE     WORKERS   PROGRESS   RESTARTS   AGE     MESSAGE",
                "digits   Running   2/2       45%        1          2m30s   Running: 2/2 pods",
            ],
        ),
        (
            True,
            [
                "NAMESPACE   NAME     PHASE     WORKERS   PROGRESS   RESTARTS   AGE     MESSAGE",
                "team        digits   Running   2/2       45%        1          2m30s   Running: 2/2 pods",
            ],
        ),
    ],
)
def test_the_table_when_piped(namespaces: bool, expected: list[str]) -> None:
    assert columns(plain([ROW], namespaces=namespaces)) == expected


def test_columns_have_a_least_width_and_may_be_none() -> None:
    assert columns([("a", "b")], [3, 0]) == ["a     b"]
    assert columns([]) == []


def test_on_a_narrow_terminal_the_message_alone_is_cut() -> None:
    console = Console(width=90, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(coloured([ROW], namespaces=True))
    heading, line = capture.get().splitlines()
    assert "NAMESPACE" in heading
    assert all(word in line for word in ("team", "digits", "Running", "2/2", "━━━━━─────── ", "45%"))
    assert len(line) <= 90
    assert "…" in line


@pytest.mark.parametrize(
    ("percent", "text"), [(0, "────────────   0%"), (50, "━━━━━━──────  50%"), (100, "━━━━━━━━━━━━ 100%")]
)
def test_progress_is_drawn(percent: int, text: str) -> None:
    assert bar(percent).plain == text
