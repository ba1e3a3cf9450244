"""Members of a parameter server come and go while the generation runs; time is a number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.members import beat, failure, formed, server, worker
from trireme.contract import exits
from trireme.contract.wire import JobReport, Joined, Order, Orders, Phase, State
from trireme_worker.coordinator import Coordinator, NotAMember
from trireme_worker.membership import Terms

TERMS = Terms(replicas=2, servers=1, join_seconds=60, restarts=True, independent=True)
EVERYBODY = [worker(0), worker(1), server(0)]


def lost_worker() -> Coordinator:
    coordinator = formed(TERMS, EVERYBODY)
    coordinator.beat(beat(worker(1), 1, State.FAILED, failure=failure(worker(1))), 1.0)
    return coordinator


def test_a_failure_ends_nobody_else():
    coordinator = lost_worker()
    orders = [coordinator.orders(beat(join)) for join in EVERYBODY]
    stop = Orders(Order.STOP, replace(failure(worker(1)), log_tail=()))
    assert orders == [Orders(Order.CONTINUE), stop, Orders(Order.CONTINUE)]
    assert coordinator.report(1.0) == JobReport(Phase.RUNNING, 1, ("worker-1",), failure=failure(worker(1)))


def test_the_successor_takes_place_and_ranks():
    coordinator = lost_worker()
    coordinator.join(worker(1, 1), 2.0)
    generation = coordinator.joined(worker(1, 1)).generation
    assert generation is not None
    assert (generation.number, [member.address for member in generation.members]) == (1, ["10.0.0.0", "10.0.1.1"])
    assert coordinator.report(2.0) == JobReport(Phase.RUNNING, 1)
    coordinator.beat(beat(worker(1, 1)), 3.0)
    assert coordinator.orders(beat(worker(1, 1))) == Orders(Order.CONTINUE)
    assert coordinator.joined(worker(1)).failure == replace(failure(worker(1)), log_tail=())


def test_ranks_follow_the_indices_wherever_the_pods_are():
    apart = [replace(worker(index), node=node) for index, node in enumerate("aba")]
    coordinator = formed(replace(TERMS, replicas=3), [*apart, server(0)])
    generation = coordinator.joined(apart[0]).generation
    assert generation is not None
    assert [member.index for member in generation.members] == [0, 1, 2]


def test_a_successor_with_other_slots_would_move_the_ranks():
    with pytest.raises(NotAMember, match="worker-1 with 2 slots is none of 2 workers and 1 servers"):
        lost_worker().join(worker(1, 1, slots=2), 2.0)


def test_a_successor_that_comes_first_retires_its_predecessor():
    coordinator = formed(TERMS, EVERYBODY)
    coordinator.join(server(0, 1), 1.0)
    last = coordinator.orders(beat(server(0)))
    assert (last.order, last.cause and last.cause.reason) == (Order.STOP, exits.POD_REPLACED)
    assert coordinator.report(1.0) == JobReport(Phase.RUNNING, 1)


def test_silence_costs_a_member_its_place():
    coordinator = formed(TERMS, EVERYBODY)
    for join in (worker(0), server(0)):
        coordinator.beat(beat(join), 15.0)
    coordinator.tick(15.1)
    assert coordinator.report(15.1).missing == ("worker-1",)
    coordinator.beat(beat(worker(1)), 16.0)
    assert coordinator.orders(beat(worker(1))).order is Order.STOP


def test_what_is_done_stays_done():
    coordinator = formed(TERMS, EVERYBODY)
    coordinator.beat(beat(worker(1), 1, State.DONE), 1.0)
    told = failure(worker(1), exits.TERMINATED, "Signal", "the pod was told to stop (SIGTERM)")
    coordinator.beat(beat(worker(1), 1, State.LEFT, failure=told), 2.0)
    coordinator.join(worker(1, 1), 3.0)
    assert coordinator.joined(worker(1, 1)) == Joined(coordinator.generation, done=True)
    assert coordinator.phase is Phase.RUNNING
    coordinator.beat(beat(worker(0), 1, State.DONE), 4.0)
    assert coordinator.orders(beat(worker(1, 1))) == Orders(Order.FINISH)


def test_the_job_is_done_without_the_successor_of_one_that_was():
    coordinator = formed(TERMS, EVERYBODY)
    coordinator.beat(beat(worker(1), 1, State.DONE), 1.0)
    for now in (10.0, 20.0):
        for join in (worker(0), server(0)):
            coordinator.beat(beat(join), now)
        coordinator.tick(now)
    assert coordinator.report(20.0).missing == ("worker-1",)
    coordinator.beat(beat(worker(0), 1, State.DONE), 21.0)
    assert coordinator.phase is Phase.DONE
    coordinator.beat(beat(server(0), 1, State.LEFT), 21.0)
    assert coordinator.deserted(21.0, but=("worker", 0))


@pytest.mark.parametrize(
    "first",
    [
        pytest.param([worker(0, 1), server(0, generation=4)], id="its own worker first"),
        pytest.param([server(0, generation=4), worker(0, 1)], id="a survivor first"),
    ],
)
def test_a_new_coordinator_learns_of_the_generation_that_runs(first):
    coordinator = formed(replace(TERMS, first=9), first)
    assert coordinator.report(0.0) == JobReport(Phase.RUNNING, 4, ("worker-1",))
    generation = coordinator.joined(worker(0, 1)).generation
    assert generation is not None
    assert [(member.index, member.slots) for member in generation.members] == [(0, 1), (1, 1)]
    coordinator.join(worker(1, generation=4), 1.0)
    coordinator.beat(beat(worker(1), 4), 1.0)
    assert coordinator.orders(beat(worker(1), 4)) == Orders(Order.CONTINUE)
    assert coordinator.report(1.0) == JobReport(Phase.RUNNING, 4)


def test_a_new_coordinator_waits_until_it_knows_how_many_ranks_a_worker_has():
    coordinator = formed(TERMS, [server(0, generation=4)])
    assert coordinator.joined(server(0)) == Joined(missing=("worker-0", "worker-1"))
    coordinator.join(worker(1, generation=4, slots=2), 1.0)
    assert coordinator.report(1.0) == JobReport(Phase.RUNNING, 4, ("worker-0",))


def test_a_new_coordinator_waits_for_survivors_before_it_goes():
    coordinator = formed(TERMS, [worker(0, 1), worker(1, generation=4)])
    for join in (worker(0, 1), worker(1)):
        coordinator.beat(beat(join, 4, State.DONE), 1.0)
    coordinator.beat(beat(worker(1), 4, State.LEFT), 1.1)
    assert not coordinator.deserted(1.1, but=("worker", 0))
    late = beat(server(0), 4)
    with pytest.raises(NotAMember):
        coordinator.beat(late, 1.2)
    coordinator.join(server(0, generation=4), 1.3)
    coordinator.beat(late, 1.4)
    assert coordinator.orders(late) == Orders(Order.FINISH)
    assert not coordinator.deserted(1.4, but=("worker", 0))
    assert coordinator.deserted(16.5, but=("worker", 0))


def test_joining_again_changes_nothing():
    coordinator = formed(TERMS, EVERYBODY)
    before = coordinator.joined(worker(1))
    coordinator.join(worker(1, generation=1), 1.0)
    assert (coordinator.joined(worker(1)), coordinator.report(1.0)) == (before, JobReport(Phase.RUNNING, 1))


PAIRS = [worker(0, slots=2), worker(1, slots=2), server(0)]


def test_ranks_have_finished_when_their_agents_say_so():
    coordinator = formed(TERMS, PAIRS)
    coordinator.beat(beat(PAIRS[1], finished=(3,)), 1.0)
    assert coordinator.finished == (3,)
    coordinator.beat(beat(PAIRS[0], finished=(0, 3)), 1.0)
    assert coordinator.finished == (0, 3)
    coordinator.beat(beat(PAIRS[1], 1, State.DONE, finished=(2, 3)), 2.0)
    assert coordinator.finished == (0, 2, 3)


def test_a_rank_that_runs_again_has_not_finished():
    """Its pod is lost for another rank's failure."""
    coordinator = formed(TERMS, PAIRS)
    failed = beat(PAIRS[1], 1, State.FAILED, failure=failure(PAIRS[1]), finished=(3,))
    coordinator.beat(failed, 1.0)
    assert coordinator.finished == (3,)
    coordinator.join(worker(1, 1, slots=2), 2.0)
    assert coordinator.finished == ()


def test_the_ranks_of_a_pod_that_was_done_have_finished_though_it_is_lost():
    coordinator = formed(TERMS, PAIRS)
    coordinator.beat(beat(PAIRS[1], 1, State.DONE, finished=(2, 3)), 1.0)
    coordinator.join(worker(1, 1, slots=2), 2.0)
    coordinator.beat(beat(worker(1, 1, slots=2), 1, State.DONE), 3.0)
    assert coordinator.finished == (2, 3)


def test_a_new_coordinator_hears_who_has_finished():
    coordinator = formed(TERMS, [replace(join, generation=1) for join in PAIRS])
    assert coordinator.finished == ()
    coordinator.beat(beat(PAIRS[0], finished=(1,)), 1.0)
    assert coordinator.finished == (1,)
