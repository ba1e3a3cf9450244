"""Who holds a job up: from the stand of every rank to a rank and a sentence, and the coordinator's way there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.members import beat, formed, server, steps, worker
from trireme.contract import exits
from trireme.contract.wire import Failure, Order, Orders, Phase, Progress, Stand, State
from trireme_worker.coordinator import Coordinator
from trireme_worker.hang import Culprit, culprit
from trireme_worker.membership import Terms

WAITS = Stand(where="mpi_ops.py:9 in synchronize", waiting=True)
STUCK = Stand(where="train.py:7 in load")
STOPPED = Stand(stopped=True)


@pytest.mark.parametrize(
    ("stands", "done", "expected"),
    [
        pytest.param(
            {0: WAITS, 1: WAITS, 2: STUCK}, {0: 5, 1: 5, 2: 5},
            Culprit(2, "no step for 9 s; rank 2 stands still after step 5, at train.py:7 in load"),
            id="the one that does not wait",
        ),
        pytest.param(
            {0: WAITS, 1: WAITS, 2: WAITS}, {0: 5, 1: 4, 2: 5},
            Culprit(1, "no step for 9 s; rank 1 waits for its peers after step 4, at mpi_ops.py:9 in synchronize"),
            id="the one with fewer steps",
        ),
        pytest.param(
            {0: STUCK, 1: STOPPED, 2: WAITS}, {0: 4, 1: 5, 2: 5},
            Culprit(1, "no step for 9 s; rank 1 is stopped by a signal after step 5, so it has no stack to show"),
            id="the one that is stopped",
        ),
        pytest.param(
            {0: WAITS, 1: Stand(), 2: WAITS}, {0: 5, 2: 5},
            Culprit(1, "no step for 9 s; rank 1 stands still before its first step; its stack could not be had"),
            id="the one that never reported",
        ),
        pytest.param(
            {0: WAITS, 2: WAITS}, {0: 5, 1: 5, 2: 5},
            Culprit(1, "no step for 9 s; rank 1 stands still after step 5; its stack could not be had"),
            id="the one of which nothing was heard",
        ),
        pytest.param(
            {0: WAITS, 1: WAITS, 2: WAITS}, {0: 5, 1: 5, 2: 5},
            Culprit(
                0, "no step for 9 s; rank 0 waits for its peers after step 5, at mpi_ops.py:9 in synchronize; "
                "3 ranks look alike and this is the first",
            ),
            id="nobody differs",
        ),
    ],
)  # fmt: skip
def test_culprit(stands, done, expected):
    assert culprit(range(3), stands, done.get, 9.0) == expected


TERMS = Terms(replicas=2, join_seconds=60, restarts=True, hang_seconds=10)
BOTH = [worker(0), worker(1)]


def standing(terms: Terms = TERMS) -> Coordinator:
    """Both ranks have reported step 3 at 1.0; everybody beats on until 11.0."""
    everybody = [*BOTH, *([server(0)] if terms.servers else [])]
    coordinator = formed(terms, everybody)
    for index in range(2):
        coordinator.beat(beat(worker(index), progress=steps(**{f"r{index}": 3})), 1.0)
    for join in everybody:
        coordinator.beat(beat(join), 10.9)
    coordinator.tick(10.9)
    return coordinator


def test_all_are_asked_and_the_culprits_pod_is_the_cause():
    coordinator = standing()
    assert coordinator.orders(beat(worker(0))) == Orders(Order.CONTINUE)
    coordinator.tick(11.0)
    assert [coordinator.orders(beat(join)) for join in BOTH] == [Orders(Order.DUMP)] * 2
    coordinator.beat(beat(worker(0), stands={0: WAITS}), 11.5)
    assert coordinator.orders(beat(worker(0))) == Orders(Order.CONTINUE)
    coordinator.beat(beat(worker(1), stands={1: STUCK}), 11.6)
    coordinator.tick(11.7)
    message = "no step for 10 s; rank 1 stands still after step 3, at train.py:7 in load"
    hung = Failure("worker", 1, exits.HUNG, "Hung", message, 11.7, 1)
    assert [coordinator.orders(beat(join)) for join in BOTH] == [Orders(Order.REJOIN, hung), Orders(Order.STOP, hung)]


def test_who_does_not_answer_is_not_waited_for():
    coordinator = standing()
    coordinator.tick(11.0)
    coordinator.beat(beat(worker(0), stands={0: WAITS}), 11.5)
    coordinator.tick(15.9)
    assert coordinator.phase is Phase.RUNNING
    coordinator.tick(16.0)
    assert coordinator.orders(beat(worker(1))).order is Order.STOP


def test_a_step_that_comes_while_the_stacks_are_read_saves_the_job():
    coordinator = standing()
    coordinator.tick(11.0)
    coordinator.beat(beat(worker(0), stands={0: WAITS}, progress=steps(r0=4)), 11.5)
    coordinator.tick(11.5)
    assert [coordinator.orders(beat(join)) for join in BOTH] == [Orders(Order.CONTINUE)] * 2


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param(replace(TERMS, hang_seconds=0), id="no limit"),
        pytest.param(replace(TERMS, hang_seconds=11), id="a longer limit"),
    ],
)
def test_nobody_is_asked(terms):
    coordinator = standing(terms)
    coordinator.tick(11.0)
    assert coordinator.orders(beat(worker(0))) == Orders(Order.CONTINUE)


INDEPENDENT = replace(TERMS, servers=1, independent=True)


def test_an_independent_rank_hangs_alone_and_nobody_hangs_while_it_is_replaced():
    coordinator = standing(INDEPENDENT)
    coordinator.beat(beat(worker(0), progress=steps(r0=4)), 10.9)
    coordinator.tick(11.0)
    for index, stand in ((0, WAITS), (1, WAITS)):
        coordinator.beat(beat(worker(index), stands={index: stand}), 11.5)
    coordinator.tick(11.5)
    assert [coordinator.orders(beat(join)).order for join in BOTH] == [Order.CONTINUE, Order.STOP]
    alive(coordinator, 25.0, server(0), worker(0))
    assert coordinator.orders(beat(worker(0))) == Orders(Order.CONTINUE)
    coordinator.join(worker(1, life=1), 25.0)
    coordinator.beat(beat(worker(1, life=1), progress=steps(r1=0)), 26.0)
    alive(coordinator, 35.9, server(0), worker(0), worker(1, life=1))
    assert coordinator.orders(beat(worker(0))) == Orders(Order.CONTINUE)
    coordinator.tick(36.0)
    assert coordinator.orders(beat(worker(0))) == Orders(Order.DUMP)


def test_who_waits_for_the_successor_of_worker_0_does_not_hang():
    """The new coordinator learns of the generation from others, and of its own rank when that reports."""
    coordinator = formed(INDEPENDENT, [worker(0, life=1), worker(1, generation=3), server(0, generation=3)])
    everybody = worker(0, life=1), worker(1), server(0)
    coordinator.beat(beat(worker(1), 3, progress=steps(r1=7)), 1.0)
    alive(coordinator, 20.0, *everybody, generation=3)
    assert coordinator.orders(beat(worker(1), 3)) == Orders(Order.CONTINUE)
    coordinator.beat(beat(worker(0, life=1), 3, progress=steps(r0=0)), 20.5)
    alive(coordinator, 30.5, *everybody, generation=3)
    assert coordinator.orders(beat(worker(1), 3)) == Orders(Order.DUMP)


def test_who_waits_for_one_that_has_not_begun_does_not_hang():
    """A successor imports its framework; its predecessor was lost before it had reported a step."""
    coordinator = formed(INDEPENDENT, [worker(0), worker(1), server(0)])
    coordinator.beat(beat(worker(0), progress=steps(r0=3)), 1.0)
    alive(coordinator, 11.0, worker(0), worker(1), server(0))
    for index, stand in ((0, WAITS), (1, STUCK)):
        coordinator.beat(beat(worker(index), stands={index: stand}), 11.5)
    coordinator.tick(11.5)
    assert [coordinator.orders(beat(join)).order for join in BOTH] == [Order.CONTINUE] * 2
    coordinator.beat(beat(worker(1), progress=steps(r1=1)), 12.0)
    alive(coordinator, 22.0, worker(0), worker(1), server(0))
    for index, stand in ((0, WAITS), (1, STUCK)):
        coordinator.beat(beat(worker(index), stands={index: stand}), 22.5)
    coordinator.tick(22.5)
    assert [coordinator.orders(beat(join)).order for join in BOTH] == [Order.CONTINUE, Order.STOP]


def alive(coordinator, now, *joins, generation=1):
    """They are heard of until then, without a step."""
    for join in joins:
        coordinator.beat(beat(join, generation), now)
    coordinator.tick(now)


def test_a_rank_that_has_ended_while_another_of_its_pod_runs_does_not_hang():
    coordinator = formed(INDEPENDENT, [worker(0, slots=2), worker(1, slots=2), server(0)])
    everybody = [worker(0), worker(1), server(0)]
    for now in range(1, 14):
        coordinator.beat(beat(worker(0), progress=steps(r1=now, **({"r0": 1} if now == 1 else {}))), float(now))
        coordinator.beat(beat(worker(1), progress=steps(r2=now, r3=now)), float(now))
        coordinator.beat(beat(server(0)), float(now))
        coordinator.tick(float(now))
        for join in everybody[:2]:
            if coordinator.orders(beat(join)).order is Order.DUMP:
                ranks = (1,) if join.index == 0 else (2, 3)
                coordinator.beat(beat(join, stands=dict.fromkeys(ranks, STUCK)), float(now))
    assert coordinator.report(13.0).missing == ()
    coordinator.tick(13.5)
    assert [coordinator.orders(beat(join)).order for join in everybody] == [Order.CONTINUE] * 3


def test_who_is_done_does_not_hang():
    coordinator = standing()
    coordinator.beat(beat(worker(0), 1, State.DONE), 10.9)
    coordinator.beat(beat(worker(1), progress=steps(r1=4)), 10.9)
    coordinator.tick(20.8)
    assert coordinator.orders(beat(worker(1))) == Orders(Order.CONTINUE)
    coordinator.tick(21.0)
    assert [coordinator.orders(beat(join)).order for join in BOTH] == [Order.CONTINUE, Order.DUMP]


START = replace(TERMS, long_seconds=50)


def ending(terms: Terms, *done: int) -> Coordinator:
    """Each rank has done so many of ten steps at 1.0; everybody beats on without one."""
    everybody = [*BOTH, *([server(0)] if terms.servers else [])]
    coordinator = formed(terms, everybody)
    for rank, step in enumerate(done):
        coordinator.beat(beat(worker(rank), progress={rank: Progress(step, total_steps=10)}), 1.0)
    alive(coordinator, 10.9, *everybody)
    return coordinator


@pytest.mark.parametrize("servers", [pytest.param(0, id="together"), pytest.param(1, id="independent")])
def test_what_follows_the_last_step_has_as_long_as_a_start(servers):
    """An evaluation, a save, an exit; else a job that resumes at its last step would be restarted again and again."""
    coordinator = ending(replace(START, servers=servers, independent=bool(servers)), 10, 10)
    for now in (11.0, 20.0, 30.0, 40.0, 50.9):
        alive(coordinator, now, *BOTH, *([server(0)] * servers))
        assert [coordinator.orders(beat(join)) for join in BOTH] == [Orders(Order.CONTINUE)] * 2
    alive(coordinator, 51.0, *BOTH)
    for index, stand in ((0, STUCK), (1, WAITS)):
        coordinator.beat(beat(worker(index), stands={index: stand}), 51.5)
    coordinator.tick(51.5)
    message = "no step for 50 s; rank 0 stands still after step 10, at train.py:7 in load"
    assert coordinator.orders(beat(worker(0))) == Orders(
        Order.STOP, Failure("worker", 0, exits.HUNG, "Hung", message, 51.5, 0)
    )


def test_who_has_made_its_last_step_does_not_shield_who_has_not():
    coordinator = ending(START, 10, 9)
    coordinator.tick(11.0)
    for index, stand in ((0, STUCK), (1, STUCK)):
        coordinator.beat(beat(worker(index), stands={index: stand}), 11.5)
    coordinator.tick(11.5)
    message = "no step for 10 s; rank 1 stands still after step 9, at train.py:7 in load"
    assert coordinator.orders(beat(worker(1))) == Orders(
        Order.STOP, Failure("worker", 1, exits.HUNG, "Hung", message, 11.5, 1)
    )


def started(*joins: object, terms: Terms = START, now: float = 49.9) -> Coordinator:
    """Nobody has reported a step until `now`."""
    coordinator = formed(terms, [worker(0), worker(1), *joins])  # type: ignore[list-item]
    for at in (*range(10, int(now), 10), now):
        alive(coordinator, float(at), worker(0), worker(1), *joins)
    return coordinator


def test_a_start_that_hangs_has_a_longer_time_and_then_a_culprit():
    coordinator = started()
    assert coordinator.orders(beat(worker(0))) == Orders(Order.CONTINUE)
    coordinator.tick(50.0)
    for index, stand in ((0, WAITS), (1, STUCK)):
        coordinator.beat(beat(worker(index), stands={index: stand}), 50.5)
    coordinator.tick(50.5)
    message = "no step for 50 s; rank 1 stands still before its first step, at train.py:7 in load"
    assert coordinator.orders(beat(worker(1))) == Orders(
        Order.STOP, Failure("worker", 1, exits.HUNG, "Hung", message, 50.5, 1)
    )


def test_a_program_that_cannot_report_is_left_alone():
    coordinator = started()
    coordinator.tick(50.0)
    for index in (0, 1):
        coordinator.beat(beat(worker(index), stands={index: Stand()}), 50.5)
    coordinator.tick(50.5)
    assert [coordinator.orders(beat(join)) for join in BOTH] == [Orders(Order.CONTINUE)] * 2
    assert coordinator.report(50.5).silent == {}


def test_where_only_rank_0_reports_the_others_have_their_time_when_it_is_done():
    coordinator = started()
    coordinator.beat(beat(worker(0), progress=steps(r0=9)), 49.9)
    coordinator.beat(beat(worker(0), state=State.DONE), 55.0)
    alive(coordinator, 60.0, worker(0), worker(1))
    alive(coordinator, 70.0, worker(0), worker(1))
    assert coordinator.orders(beat(worker(1))) == Orders(Order.CONTINUE)
    for now in (80.0, 90.0, 100.0, 105.0):
        alive(coordinator, now, worker(0), worker(1))
    assert coordinator.orders(beat(worker(1))) == Orders(Order.DUMP)


def test_who_is_waited_for_has_begun_in_time_or_hangs():
    terms = replace(START, servers=1, independent=True)
    coordinator = started(server(0), terms=terms, now=40.0)
    coordinator.beat(beat(worker(0), progress=steps(r0=3)), 41.0)
    for now in (45.0, 51.0):
        alive(coordinator, now, worker(0), worker(1), server(0))
    for index, stand in ((0, WAITS), (1, STUCK)):
        coordinator.beat(beat(worker(index), stands={index: stand}), 51.5)
    coordinator.tick(51.5)
    assert [coordinator.orders(beat(join)).order for join in BOTH] == [Order.CONTINUE, Order.STOP]


def test_the_operator_hears_for_how_long_a_pod_has_been_silent():
    coordinator = formed(TERMS, BOTH)
    coordinator.beat(beat(worker(0)), 20.0)
    coordinator.tick(20.0)
    assert coordinator.report(150.7).silent == {"uid-1-0": 130.0}
