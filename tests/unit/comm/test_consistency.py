from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme_worker.comm.ps.consistency import Clock, Consistency, Mode, Verdict, following, may_pull

SYNC, ASYNC = Consistency(Mode.SYNC), Consistency(Mode.ASYNC)


def clock(**applied: int) -> Clock:
    """`w0=2`: worker 0 has pushed twice."""
    made = Clock(int(name[1:]) for name in applied)
    for name, number in applied.items():
        for push in range(1, number + 1):
            made.advance(int(name[1:]), push)
    return made


@pytest.mark.parametrize("text", ["Sync", "Async", "Bounded:0", "Bounded:4"])
def test_a_consistency_is_read_as_it_is_written(text: str) -> None:
    assert str(Consistency.parse(text)) == text


def test_bounded_alone_is_bounded_by_0() -> None:
    assert Consistency.parse("Bounded") == Consistency(Mode.BOUNDED, 0)


@pytest.mark.parametrize(
    "text", ["", "sync", "Sync:1", "Bounded:", "Bounded:-1", "Bounded:٣", "Bounded:1:2", "Async:x"]
)
def test_another_consistency_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"consistency is|goes with no"):
        Consistency.parse(text)


@pytest.mark.parametrize(
    ("worker", "number", "verdict"),
    [
        (0, 3, Verdict.APPLY),
        (0, 2, Verdict.DUPLICATE),
        (0, 1, Verdict.DUPLICATE),
        (0, 4, Verdict.GAP),
        (0, 0, Verdict.GAP),
        (0, -5, Verdict.GAP),
        (1, 1, Verdict.APPLY),
        (7, 1, Verdict.GAP),
    ],
)
def test_a_push_is_judged_by_its_number(worker: int, number: int, verdict: Verdict) -> None:
    assert clock(w0=2, w1=0).admit(worker, number) is verdict


@given(pushes=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6)), max_size=60))
def test_whatever_arrives_is_applied_once_and_in_order(pushes: list[tuple[int, int]]) -> None:
    made = Clock([0, 1, 2])
    applied: list[tuple[int, int]] = []
    for worker, number in pushes:
        if made.admit(worker, number) is Verdict.APPLY:
            made.advance(worker, number)
            applied.append((worker, number))
    assert max(Counter(applied).values(), default=1) == 1
    for worker in range(3):
        numbers = [number for who, number in applied if who == worker]
        assert numbers == list(range(1, made.get(worker) + 1))


def test_a_push_that_does_not_follow_is_not_noted() -> None:
    with pytest.raises(ValueError, match="push 4 of worker 0 does not follow 2"):
        clock(w0=2).advance(0, 4)


@pytest.mark.parametrize(
    ("consistency", "answered"),
    [
        (SYNC, {1, 2}),
        (Consistency(Mode.BOUNDED, 0), {1, 2}),
        (Consistency(Mode.BOUNDED, 2), {1, 2, 3, 4}),
        (ASYNC, {1, 2, 3, 4, 5, 6}),
    ],
    ids=str,
)
def test_a_pull_waits_for_the_slowest(consistency: Consistency, answered: set[int]) -> None:
    clocks = clock(w0=5, w1=2)
    assert {number for number in range(1, 7) if may_pull(consistency, clocks, 0, number)} == answered


def test_a_worker_that_left_is_not_waited_for() -> None:
    clocks = clock(w0=5, w1=2)
    clocks.leave(1)
    assert clocks.slowest() == 5
    assert may_pull(Consistency(Mode.BOUNDED, 0), clocks, 0, 5)


def test_a_worker_that_left_is_remembered_and_refused() -> None:
    clocks = clock(w0=5, w1=2)
    clocks.leave(1)
    assert [clocks.admit(1, number) for number in (1, 2, 3)] == [Verdict.DUPLICATE, Verdict.DUPLICATE, Verdict.GAP]


def test_a_successor_goes_on_where_the_worker_ended() -> None:
    clocks = clock(w0=5, w1=2)
    assert clocks.join(1, 0) == 2
    assert clocks.admit(1, 3) is Verdict.APPLY


def test_a_newcomer_holds_up_nobody() -> None:
    clocks = clock(w0=5, w1=4)
    assert clocks.join(2, clocks.slowest()) == 4
    assert clocks.slowest() == 4
    assert clocks.members == (0, 1, 2)


def test_pushes_that_were_skipped_are_refused_not_acknowledged() -> None:
    """They were never applied: to call them duplicates would acknowledge what does not count."""
    clocks = clock(w0=9, w1=2)
    clocks.leave(1)
    assert clocks.join(1, 9) == 9
    verdicts = [clocks.admit(1, number) for number in (2, 3, 9, 10)]
    assert verdicts == [Verdict.DUPLICATE, Verdict.GAP, Verdict.GAP, Verdict.APPLY]


def test_a_newcomer_after_everyone_left_begins_where_they_ended() -> None:
    clocks = clock(w0=5)
    clocks.leave(0)
    assert clocks.slowest() == 5
    assert Clock().slowest() == 0


def test_a_clock_is_plain_data() -> None:
    clocks = clock(w0=9, w1=2, w10=1)
    clocks.leave(1)
    clocks.join(1, 9)
    clocks.leave(10)
    plain = json.loads(json.dumps(clocks.plain()))
    assert plain == {"applied": {"0": 9, "1": 9, "10": 1}, "members": [0, 1], "skipped": {"1": [[2, 9]]}}
    assert Clock.of(plain).plain() == plain


@given(latest=st.integers(0, 2**62), ranks=st.sets(st.integers(0, 2**20 - 1), min_size=2, max_size=2))
def test_changes_of_the_rule_follow_each_other_and_two_at_once_differ(latest: int, ranks: set[int]) -> None:
    numbers = {following(latest, rank) for rank in ranks}
    assert len(numbers) == 2
    assert latest < min(numbers) <= max(numbers) < 2**64
