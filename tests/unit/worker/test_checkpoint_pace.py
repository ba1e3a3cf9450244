"""When ranks vote and what comes of it; time is a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme_worker.checkpoint.pace import VOTE_STEPS, Outcome, Pace, Policy, Vote

YES = Vote(7, stopping=True, due=False, gap=3)
NO = Vote(7, stopping=False, due=False, gap=3)
DUE = Vote(7, stopping=False, due=True, gap=5)


@pytest.mark.parametrize("vote", [YES, NO, DUE], ids=["stop", "no", "due"])
def test_a_vote_comes_back(vote):
    assert Vote.decode(vote.encode()) == vote


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        pytest.param([NO, NO], Outcome(save=False, stop=False), id="nothing"),
        pytest.param([NO, YES], Outcome(save=True, stop=True), id="SIGTERM on any rank stops all"),
        pytest.param([DUE, NO], Outcome(save=True, stop=False), id="rank 0's clock counts"),
        pytest.param([NO, DUE], Outcome(save=False, stop=False), id="no other clock does"),
    ],
)
def test_all_ranks_draw_the_same_from_the_votes(votes, outcome):
    assert Pace(Policy(), 0, 0.0).count(votes) == outcome


def test_ranks_at_different_steps_are_told():
    with pytest.raises(ValueError, match=r"at the same step, and they are at \[7, 8\]"):
        Pace(Policy(), 0, 0.0).count([NO, Vote(8, stopping=False, due=False, gap=1)])


@pytest.mark.parametrize(("step_seconds", "gap"), [(0.0, 10), (0.001, 10), (0.03125, 3), (0.1, 1), (60.0, 1)], ids=str)
def test_short_steps_vote_seldom_and_long_ones_each_time(step_seconds, gap):
    vote = Pace(Policy(every_seconds=None), 4, 100.0).vote(5, stopping=False, now=100.0 + step_seconds)
    assert vote == Vote(5, stopping=False, due=False, gap=gap)


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_there_is_never_long_without_a_vote(durations):
    pace, now, last = Pace(Policy(), 0, 0.0), 0.0, 0
    for step, seconds in enumerate(durations, 1):
        now += seconds
        vote = pace.vote(step, stopping=False, now=now)
        if vote is not None:
            pace.count([vote])
            last = step
        assert step - last < VOTE_STEPS


def test_it_is_due_so_long_after_the_last_try():
    pace = Pace(Policy(every_seconds=60), 0, 0.0)
    assert pace.vote(1, stopping=False, now=59.9).due is False
    pace.count([Vote(1, stopping=False, due=False, gap=1)])
    assert pace.vote(2, stopping=False, now=60.0).due is True
    pace.saved(60.5)
    pace.count([Vote(2, stopping=False, due=True, gap=1)])
    assert pace.vote(3, stopping=False, now=120.0).due is False


def test_steps_need_no_vote():
    pace = Pace(Policy(every_seconds=None, every_steps=20), 0, 0.0)
    assert [step for step in range(1, 61) if pace.due_by_steps(step)] == [20, 40, 60]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"every_seconds": 0}, "every_seconds must be greater than 0, got 0"),
        ({"every_steps": -1}, "every_steps must be greater than 0, got -1"),
        ({"keep": 0}, "keep must be at least 1, got 0"),
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense(options, problem):
    with pytest.raises(ValueError, match=problem):
        Policy(**options)
