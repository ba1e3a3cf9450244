"""docs/failure-modes.md leaves no exit code of ours out, and the tests that it names are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from trireme.contract import exits

TESTS = Path(__file__).parents[2]
PAGE = (TESTS.parent / "docs/failure-modes.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("code", [126, 127, *range(exits.PEER_FAILED, exits.AGENT_ERROR + 1)])
def test_every_exit_code_has_a_row_with_its_reason(code: int) -> None:
    reason = exits.describe(code).reason
    assert [row for row in ROWS if row[1].strip().startswith(str(code)) and reason in row[2]]


def test_every_row_names_a_test_that_is_there() -> None:
    shown = [row[-1].strip() for row in ROWS if row[-1].strip() != "shown by"]
    assert len(shown) > 40
    missing = []
    for place in shown:
        file, _, name = place.strip("`").partition("::")
        path = TESTS / file
        if not path.is_file() or (name and f"def {name}(" not in path.read_text(encoding="utf-8")):
            missing.append(place)
    assert missing == []
