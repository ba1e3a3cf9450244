from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.contract import wire

FAILURE = wire.Failure("worker", 1, 1, "Error", "ValueError: boom", 12.5, 3, "", ("one", "two"))
LINES = st.lists(st.text(max_size=300), max_size=40).map(tuple)


@given(
    log=LINES,
    message=st.text(max_size=6000),
    cause=st.none() | st.just(FAILURE),
    metrics=st.dictionaries(st.text(min_size=1, max_size=63), st.floats(-1e9, 1e9), max_size=32),
)
def test_a_termination_message_always_fits_and_parses(log, message, cause, metrics):
    failure = replace(FAILURE, log_tail=log, message=message)
    said = wire.Termination(1, failure, cause, wire.Progress(1, 2, metrics))
    text = wire.termination_message(said)
    read = wire.read_termination(text)
    assert len(text.encode()) <= wire.TERMINATION_MESSAGE_MAX
    assert read is not None
    assert read.failure is not None
    assert (read.exit_code, read.failure.rank, read.failure.exit_code) == (1, 3, 1)


def test_the_oldest_lines_go_first():
    log = tuple(f"{number:03} {'x' * 200}" for number in range(40))
    said = wire.read_termination(wire.termination_message(wire.Termination(1, replace(FAILURE, log_tail=log))))
    assert said is not None
    assert said.failure is not None
    kept = said.failure.log_tail
    assert 10 < len(kept) < 40
    assert kept == log[-len(kept) :]
    assert said.failure.message == FAILURE.message


@given(word=st.text(max_size=10_000), message=st.text(max_size=10_000), log=LINES)
def test_what_is_said_of_a_failure_is_bounded(word, message, log):
    failure = replace(FAILURE, role=word, reason=word, signal=word, message=message, log_tail=log)
    bounded = wire.bounded(failure)
    assert len(wire.termination_message(wire.Termination(1, bounded)).encode()) <= wire.TERMINATION_MESSAGE_MAX
    assert (bounded.role, bounded.exit_code, wire.bounded(bounded)) == (word[: wire.WORD_MAX], 1, bounded)


def test_a_pod_that_none_of_its_processes_started_again_says_no_attempt():
    assert "attempt" not in wire.termination_message(wire.Termination(1, FAILURE))
    assert '"attempt":2' in wire.termination_message(wire.Termination(1, FAILURE, attempt=2))


@pytest.mark.parametrize("text", ["", "Killed", "{}", '{"exitCode": "1"}', "null"])
def test_words_of_others_are_not_taken_for_ours(text):
    assert wire.read_termination(text) is None


def test_the_token_is_one_jobs_own():
    token = wire.token(b"key", "uid")
    assert (len(token), token == wire.token(b"key", "other"), token == wire.token(b"else", "uid")) == (64, False, False)


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("Bearer secret", True),
        ("bearer secret", False),
        ("Bearer secre", False),
        ("Bearer secret ", False),
        ("secret", False),
        ("", False),
        ("Bearer s\udcffcret", False),
    ],
)
def test_only_the_token_is_authorized(header, allowed):
    assert wire.authorized(header, "secret") is allowed
