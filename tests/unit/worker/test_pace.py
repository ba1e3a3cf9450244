from __future__ import annotations

import pytest
from support.members import steps
from trireme.contract.wire import Progress, Straggler
from trireme_worker.pace import Pace


def stepping(rates: dict[int, float], seconds: int = 30) -> Pace:
    """Ranks that report once a second; `rates`: steps a second."""
    pace = Pace()
    for now in range(seconds + 1):
        for rank, rate in rates.items():
            pace.add(rank, steps(**{f"r{rank}": int(rate * now)})[rank], float(now))
    return pace


@pytest.mark.parametrize(
    ("rates", "seconds", "expected"),
    [
        pytest.param({0: 2, 1: 2, 2: 1, 3: 2}, 30, (Straggler(2, 1.0, 2.0),), id="one of four"),
        pytest.param({0: 2, 1: 2, 2: 0, 3: 2}, 30, (Straggler(2, 0.0, 2.0),), id="one stands still"),
        pytest.param({0: 2, 1: 2, 2: 1.5, 3: 2}, 30, (), id="slower, but not by so much"),
        pytest.param({0: 2, 1: 2, 2: 1, 3: 2}, 20, (), id="not for long enough"),
        pytest.param({0: 2, 1: 1}, 30, (), id="of two nobody knows"),
        pytest.param({0: 0.2, 1: 0.2, 2: 0.1, 3: 0.2}, 30, (), id="too few steps"),
    ],
)
def test_stragglers(rates, seconds, expected):
    assert stepping(rates, seconds).stragglers(float(seconds)) == expected


def test_who_is_done_or_new_is_no_straggler():
    pace = stepping({0: 2, 1: 2, 2: 0, 3: 2, 4: 0})
    pace.done([2])
    pace.forget([4])
    assert pace.stragglers(30.0) == ()


TEN_SECONDS = {0: 10.0, 1: 10.0}.__getitem__


@pytest.mark.parametrize(
    ("now", "each", "expected"),
    [
        pytest.param(14.9, True, [], id="nobody yet"),
        pytest.param(15.0, True, [1], id="of itself"),
        pytest.param(15.0, False, [], id="the job moves"),
        pytest.param(18.0, False, [0, 1], id="the job stands still"),
    ],
)
def test_overdue(now, each, expected):
    pace = Pace()
    for at, reported in [(5.0, steps(r0=1, r1=1)), (8.0, steps(r0=2, r1=1)), (9.0, steps(r0=2, r1=1))]:
        for rank, progress in reported.items():
            pace.add(rank, progress, at)
    assert list(pace.overdue(now, TEN_SECONDS, each=each)) == expected


@pytest.mark.parametrize(
    ("now", "each", "expected"),
    [
        pytest.param(10.0, False, [1], id="who has steps to make is judged alone"),
        pytest.param(10.0, True, [1], id="each by its own patience"),
        pytest.param(50.0, True, [0, 1], id="nobody has for ever"),
    ],
)
def test_overdue_at_the_end(now, each, expected):
    pace = Pace()
    pace.add(0, Progress(9, total_steps=9), 0.0)
    pace.add(1, Progress(8, total_steps=9), 0.0)
    assert [pace.at_end(rank) for rank in range(3)] == [True, False, False]
    assert list(pace.overdue(now, {0: 50.0, 1: 10.0}.__getitem__, each=each)) == expected


def test_nobody_is_overdue_before_the_first_report_and_after_the_end():
    pace = Pace()
    assert not pace.overdue(1000.0, TEN_SECONDS, each=False)
    pace.add(0, steps(r0=1)[0], 1000.0)
    assert list(pace.overdue(1010.0, TEN_SECONDS, each=False)) == [0]
    pace.excuse(1010.0)
    assert not pace.overdue(1019.9, TEN_SECONDS, each=False)
    pace.done([0])
    assert not pace.overdue(2000.0, TEN_SECONDS, each=False)
    pace.restart()
    assert (pace.step(0), pace.progress) == (None, steps(r0=1)[0])
