"""Elastic generations: when one forms, who is in it and in which order, and when it ends without a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.members import beat, failure, formed, server, worker
from trireme.contract import exits
from trireme.contract.wire import Join, Joined, Order, Orders, Phase, State
from trireme_worker import membership
from trireme_worker.coordinator import Coordinator
from trireme_worker.membership import Gathering, Limits, Terms

LIMITS = Limits(minimum=2, maximum=4, first_settle_seconds=10, settle_seconds=3, grow_seconds=20)
TERMS = Terms(replicas=3, join_seconds=60, restarts=True, limits=LIMITS)
THREE = [worker(index) for index in range(3)]
INDEPENDENT = replace(TERMS, replicas=2, servers=1, independent=True)


def again(coordinator: Coordinator, *indices: int, now: float, since: int = 0, generation: int = 1) -> None:
    for index in indices:
        coordinator.join(replace(worker(index, generation=generation), since=since), now)


def order(coordinator: Coordinator) -> tuple[int, list[int]]:
    """Number and indices of the present generation, in the order of the ranks."""
    assert coordinator.generation is not None
    return coordinator.generation.number, [member.index for member in coordinator.generation.members]


def gathering(*workers: int, **changes: object) -> Gathering:
    here = [("worker", index) for index in workers]
    return replace(Gathering(here, wanted=3, settle_seconds=10), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("terms", "here", "enough"),
    [
        pytest.param(TERMS, gathering(0, 1, 2), True, id="as many as are wanted"),
        pytest.param(TERMS, gathering(0, 1), False, id="the minimum, and others may come"),
        pytest.param(TERMS, gathering(0, 1, quiet_seconds=10), True, id="the minimum, and nobody comes"),
        pytest.param(TERMS, gathering(0, quiet_seconds=99), False, id="below the minimum"),
        pytest.param(TERMS, gathering(0, 1, 2, awaited=True), False, id="a living member is on its way"),
        pytest.param(INDEPENDENT, gathering(0, 1, 2), False, id="without the server"),
        pytest.param(replace(TERMS, limits=None), gathering(0, 1, quiet_seconds=99), False, id="not elastic"),
        pytest.param(replace(TERMS, limits=None), gathering(0, 1, 2), True, id="not elastic, everybody"),
    ],
)
def test_when_those_who_are_there_are_enough(terms: Terms, here: Gathering, enough: bool) -> None:
    assert membership.enough(terms, here) is enough


def test_it_starts_at_once_with_all_that_are_wanted() -> None:
    assert order(formed(TERMS, THREE)) == (1, [0, 1, 2])


def test_it_starts_with_the_minimum_when_nobody_else_comes() -> None:
    coordinator = formed(TERMS, THREE[:2])
    coordinator.tick(9.9)
    assert coordinator.phase is Phase.FORMING
    coordinator.join(worker(0), 9.9)  # it only asks again
    coordinator.tick(10.0)
    assert order(coordinator) == (1, [0, 1])


def test_newcomers_wait_until_the_generation_is_old_enough_and_no_more_of_them_come() -> None:
    coordinator = formed(TERMS, THREE)
    coordinator.join(worker(3), 18.0)
    assert coordinator.joined(worker(3)) == Joined(missing=("the next generation",))
    for now in (12.0, 19.0, 20.9):
        for each in THREE:
            coordinator.beat(beat(each), now)
        coordinator.tick(now)
    assert coordinator.orders(beat(worker(0))) == Orders(Order.CONTINUE)
    coordinator.tick(21.0)
    assert coordinator.orders(beat(worker(0))) == Orders(Order.REJOIN)
    again(coordinator, 0, 1, now=22.0)
    assert coordinator.phase is Phase.FORMING
    again(coordinator, 2, now=22.0)
    assert order(coordinator) == (2, [0, 1, 2, 3])


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(beat(worker(1), rigid=True), id="processes that would not hear of it"),
        pytest.param(beat(worker(1), 1, State.DONE), id="ranks that are done"),
    ],
)
def test_newcomers_are_not_let_in_against(holder: object) -> None:
    coordinator = formed(TERMS, THREE)
    coordinator.join(worker(3), 20.0)
    for each in (worker(0), worker(2)):
        coordinator.beat(beat(each), 25.0)
    coordinator.beat(holder, 25.0)  # type: ignore[arg-type]
    coordinator.tick(30.0)
    assert coordinator.phase is Phase.RUNNING


def test_the_others_go_on_when_the_successor_of_a_lost_pod_does_not_come() -> None:
    coordinator = formed(TERMS, THREE)
    coordinator.beat(beat(worker(1), 1, State.FAILED, failure=failure(worker(1))), 1.0)
    again(coordinator, 0, 2, now=2.0)
    coordinator.tick(4.9)
    assert coordinator.phase is Phase.FORMING
    coordinator.tick(5.0)
    assert order(coordinator) == (2, [0, 2])


def test_below_the_minimum_it_waits_for_the_successor() -> None:
    coordinator = formed(replace(TERMS, replicas=2), THREE[:2])
    coordinator.beat(beat(worker(1), 1, State.FAILED, failure=failure(worker(1))), 1.0)
    again(coordinator, 0, now=2.0)
    coordinator.tick(50.0)
    assert coordinator.phase is Phase.FORMING


def test_who_leaves_is_not_waited_for() -> None:
    coordinator = formed(TERMS, THREE)
    told = replace(failure(worker(2), exits.TERMINATED, "Terminated", "told to stop"), rank=None)
    coordinator.beat(beat(worker(2), 1, State.LEFT, failure=told), 1.0)
    again(coordinator, 0, 1, now=1.5)
    assert order(coordinator) == (2, [0, 1])


def test_a_member_that_takes_its_time_is_waited_for_while_it_is_heard() -> None:
    coordinator = formed(TERMS, THREE)
    coordinator.beat(beat(worker(1), 1, State.FAILED, failure=failure(worker(1))), 1.0)
    coordinator.join(worker(1, 1), 2.0)
    coordinator.join(worker(3), 2.0)
    again(coordinator, 0, now=2.0)
    coordinator.beat(beat(worker(2)), 10.0)
    again(coordinator, 0, 1, 3, now=20.0)
    coordinator.tick(24.0)
    assert coordinator.phase is Phase.FORMING
    coordinator.tick(25.1)
    assert coordinator.phase is Phase.RUNNING


def test_the_oldest_processes_have_the_lowest_ranks() -> None:
    coordinator = formed(TERMS, THREE)
    coordinator.beat(beat(worker(0), 1, State.FAILED, failure=failure(worker(0))), 1.0)
    coordinator.join(worker(0, 1), 2.0)
    coordinator.join(replace(worker(1, generation=1), since=2), 2.0)
    coordinator.join(replace(worker(2, generation=1), since=1), 2.0)
    assert order(coordinator) == (2, [2, 1, 0])


def test_processes_that_lost_each_other_without_a_failure_begin_again() -> None:
    coordinator = formed(TERMS, THREE)
    coordinator.beat(beat(worker(1), asks=True), 1.0)
    coordinator.tick(1.0)
    assert coordinator.phase is Phase.RUNNING
    coordinator.tick(1.0 + TERMS.settle_seconds)
    assert coordinator.orders(beat(worker(1))) == Orders(Order.REJOIN)


def test_who_asks_first_does_not_hide_the_failure() -> None:
    coordinator = formed(TERMS, THREE)
    coordinator.beat(beat(worker(1), asks=True), 1.0)
    coordinator.beat(beat(worker(2), 1, State.FAILED, failure=failure(worker(2))), 1.1)
    assert [coordinator.orders(beat(each)).order for each in THREE] == [Order.REJOIN, Order.REJOIN, Order.STOP]


def test_a_newcomer_does_not_wait_for_ranks_that_ended_meanwhile() -> None:
    coordinator = formed(TERMS, THREE)
    coordinator.join(worker(3), 20.0)
    for each in THREE:
        coordinator.beat(beat(each), 22.0)
    coordinator.tick(25.0)
    for index in range(3):
        coordinator.join(replace(worker(index, generation=1), since=1, done=True), 26.0)
    assert order(coordinator) == (2, [0, 1, 2])
    assert coordinator.awaits(worker(3))
    coordinator.beat(beat(worker(0), 2, State.DONE), 26.0)
    assert coordinator.phase is Phase.DONE
    coordinator.join(worker(3), 27.0)
    assert coordinator.joined(worker(3)).done


def independent() -> Coordinator:
    return formed(INDEPENDENT, [worker(0), worker(1), server(0)])


def test_an_independent_newcomer_is_taken_in_at_once_and_nobody_moves() -> None:
    coordinator = independent()
    coordinator.join(worker(3), 1.0)
    assert order(coordinator) == (1, [0, 1, 3])
    coordinator.join(worker(2), 2.0)
    assert order(coordinator) == (1, [0, 1, 3, 2])
    assert coordinator.orders(beat(worker(0))) == Orders(Order.CONTINUE)


def test_independent_workers_are_done_without_one_that_left() -> None:
    coordinator = independent()
    told = replace(failure(worker(1), exits.TERMINATED, "Terminated", "told to stop"), rank=None)
    coordinator.beat(beat(worker(1), 1, State.LEFT, failure=told), 1.0)
    coordinator.beat(beat(worker(0), 1, State.DONE), 2.0)
    assert coordinator.phase is Phase.DONE


def test_a_new_coordinator_learns_the_places_of_independent_workers() -> None:
    def held(join: Join, place: int) -> Join:
        return replace(join, generation=4, place=place)

    coordinator = formed(INDEPENDENT, [worker(0, 1), server(0), held(worker(3), 1), held(worker(1), 2)], 0.0)
    assert order(coordinator) == (4, [0, 3, 1])


def test_a_place_that_nobody_holds_is_kept_free() -> None:
    joins = [replace(worker(index, generation=4), place=place) for index, place in ((1, 1), (2, 3))]
    coordinator = formed(INDEPENDENT, [server(0), *joins])
    assert order(coordinator) == (4, [membership.NOBODY, 1, membership.NOBODY, 2])
