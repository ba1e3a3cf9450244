from __future__ import annotations

import pytest
from trireme.cli.display import printable, summary


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("ValueError: größer als 1 ✓", "ValueError: größer als 1 ✓", id="text"),
        pytest.param("\x1b[1;31mboom\x1b[0m", "boom", id="colours"),
        pytest.param("\x1b]0;title\x07 \x1bc", r"\x1b]0;title\x07 \x1bc", id="other-sequences"),
        pytest.param("a\tb\r\x00\x9b2J", "a       b\\r\\x00\\x9b2J", id="control-characters"),
        pytest.param("\u202egnp", r"\u202egnp", id="right-to-left-override"),
        pytest.param("\ud800", r"\ud800", id="a-lone-surrogate"),
    ],
)
def test_a_jobs_words_do_not_steer_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_last_words_of_a_job_are_printable() -> None:
    failure = {"pod": "a-worker-1", "rank": 1, "logTail": ["ok", "\x1b[2J\x1bc"]}
    assert summary({"status": {"message": "Failed: \x1b[31mboom", "failure": failure}}).splitlines() == [
        "Failed: boom", "last lines of a-worker-1, rank 1:", "    ok", r"    \x1bc",
    ]  # fmt: skip
