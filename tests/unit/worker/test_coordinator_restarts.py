"""Generation after generation: who stops, who joins again, who is blamed; time is a number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.members import beat, failure, formed, worker
from trireme.contract import exits
from trireme.contract.wire import Failure, JobReport, Joined, Order, Orders, Phase, Progress, State
from trireme_worker.coordinator import Coordinator
from trireme_worker.membership import Terms
from trireme_worker.roster import NotAMember

TERMS = Terms(replicas=3, join_seconds=60, restarts=True)
EVERYBODY = [worker(index) for index in range(3)]
BROKEN = ("Error", "RuntimeError: Connection closed by peer")
ME = ("worker", 0)


def brief(known: Failure) -> Failure:
    return replace(known, log_tail=())


def killed(index: int = 1) -> Coordinator:
    """Generation 1 has ended at 1.0: a rank of `index` was killed."""
    coordinator = formed(TERMS, EVERYBODY)
    coordinator.beat(beat(worker(index), 1, State.FAILED, failure=failure(worker(index))), 1.0)
    return coordinator


def again(coordinator: Coordinator, *indices: int, now: float = 1.0, generation: int = 1) -> None:
    for index in indices:
        coordinator.join(worker(index, generation=generation), now)


def test_the_cause_exits_and_the_others_join_again():
    coordinator = killed()
    orders = [coordinator.orders(beat(worker(index))) for index in range(3)]
    cause = brief(failure(worker(1)))
    assert orders == [Orders(Order.REJOIN, cause), Orders(Order.STOP, cause), Orders(Order.REJOIN, cause)]
    everybody = ("worker-0", "worker-1", "worker-2")
    assert coordinator.report(1.0) == JobReport(Phase.FORMING, 1, everybody, failure=failure(worker(1)))


def test_the_next_generation_forms_with_the_successor():
    coordinator = killed()
    again(coordinator, 0, 2)
    assert coordinator.joined(worker(0)) == Joined(missing=("worker-1",))
    coordinator.join(worker(1, 1), 3.0)
    generation = coordinator.joined(worker(0)).generation
    assert generation is not None
    assert (generation.number, [member.address for member in generation.members]) == (
        2, ["10.0.0.0", "10.0.1.1", "10.0.0.2"],
    )  # fmt: skip
    assert coordinator.report(3.0) == JobReport(Phase.RUNNING, 2)
    assert coordinator.orders(beat(worker(1, 1), 2)) == Orders(Order.CONTINUE)


def test_the_next_generation_is_done_only_by_its_own_word():
    coordinator = formed(TERMS, EVERYBODY)
    coordinator.beat(beat(worker(0), 1, State.DONE), 0.5)
    coordinator.beat(beat(worker(1), 1, State.FAILED, failure=failure(worker(1))), 1.0)
    again(coordinator, 0, 2)
    coordinator.join(worker(1, 1), 3.0)
    for join in (worker(1, 1), worker(2)):
        coordinator.beat(beat(join, 2, State.DONE), 4.0)
    assert coordinator.phase is Phase.RUNNING
    coordinator.beat(beat(worker(0), 2, State.DONE), 4.0)
    assert [coordinator.orders(beat(worker(0), 2)), coordinator.orders(beat(worker(1, 1), 2))] == [
        Orders(Order.FINISH)
    ] * 2


def test_the_pod_of_the_cause_is_out_even_if_it_missed_its_orders():
    coordinator = killed()
    again(coordinator, 0, 1, 2)
    assert coordinator.joined(worker(1)) == Joined(failure=brief(failure(worker(1))))
    assert coordinator.joined(worker(0)).missing == ("worker-1",)
    assert not coordinator.awaits(worker(1))
    assert coordinator.awaits(worker(0))


def test_a_late_goodbye_of_the_cause_does_not_cost_its_successor_the_place():
    coordinator = killed()
    coordinator.join(worker(1, 1), 2.0)
    last = beat(worker(1), 1, State.LEFT, failure=failure(worker(1)))
    coordinator.beat(last, 2.1)
    assert coordinator.orders(last).order is Order.STOP
    assert coordinator.joined(worker(1, 1)).missing == ("worker-0", "worker-2")


def test_a_second_failure_is_not_blamed():
    coordinator = killed()
    late = beat(worker(2), 1, State.FAILED, failure=failure(worker(2), 1, "Error", "ValueError: of its own"))
    coordinator.beat(late, 1.1)
    assert coordinator.orders(late) == Orders(Order.REJOIN, brief(failure(worker(1))))
    again(coordinator, 0, 2)
    coordinator.join(worker(1, 1), 2.0)
    assert coordinator.report(2.0) == JobReport(Phase.RUNNING, 2)


def test_a_successor_that_comes_before_the_loss_was_noticed_ends_the_generation():
    coordinator = formed(TERMS, EVERYBODY)
    coordinator.join(worker(1, 1), 1.0)
    lost = Failure(
        "worker", 1, exits.COORDINATOR_LOST, exits.POD_REPLACED, "another pod of this name came while the job ran", 1.0
    )
    assert coordinator.orders(beat(worker(0))) == Orders(Order.REJOIN, lost)
    assert coordinator.joined(worker(1, 1)).missing == ("worker-0", "worker-2")
    assert coordinator.joined(worker(1)).failure == lost
    again(coordinator, 0, 2, now=2.0)
    assert coordinator.report(2.0) == JobReport(Phase.RUNNING, 2)


def test_a_successor_says_whose_loss_broke_the_connections():
    coordinator = formed(TERMS, EVERYBODY)
    coordinator.beat(beat(worker(0), 1, State.FAILED, failure=failure(worker(0), 1, *BROKEN)), 1.0)
    coordinator.join(worker(1, 1), 1.2)
    assert [coordinator.orders(beat(worker(index))).order for index in range(3)] == [
        Order.REJOIN, Order.STOP, Order.REJOIN,
    ]  # fmt: skip


def test_who_only_lost_its_connection_does_not_exit_when_another_pod_is_quiet():
    coordinator = formed(TERMS, EVERYBODY)
    coordinator.beat(beat(worker(1)), 0.9)
    coordinator.beat(beat(worker(0), 1, State.FAILED, failure=failure(worker(0), 1, *BROKEN)), 1.0)
    for now in (2.0, 3.0, 4.0):
        for index in (0, 2):
            coordinator.beat(beat(worker(index), 1, State.FAILED, failure=failure(worker(index), 1, *BROKEN)), now)
        coordinator.tick(now)
    assert coordinator.failure is not None
    assert (coordinator.failure.index, coordinator.failure.reason) == (1, exits.POD_SILENT)
    assert [coordinator.orders(beat(worker(index))).order for index in range(3)] == [
        Order.REJOIN, Order.STOP, Order.REJOIN,
    ]  # fmt: skip


def test_a_broken_connection_without_a_lost_pod_is_the_first_ones_failure():
    coordinator = formed(TERMS, EVERYBODY)
    for index, now in ((2, 1.0), (0, 1.1), (1, 1.2)):
        coordinator.beat(beat(worker(index), 1, State.FAILED, failure=failure(worker(index), 1, *BROKEN)), now)
    coordinator.tick(1.5)
    assert coordinator.orders(beat(worker(2))).order is Order.STOP


def test_a_pod_that_dies_while_the_next_generation_forms_is_replaced():
    coordinator = killed()
    again(coordinator, 0, 2)
    coordinator.join(worker(2, 1), 4.0)
    coordinator.join(worker(1, 1), 5.0)
    generation = coordinator.joined(worker(0)).generation
    assert generation is not None
    assert [member.address for member in generation.members] == ["10.0.0.0", "10.0.1.1", "10.0.1.2"]
    with pytest.raises(NotAMember, match="worker-2 has not joined"):
        coordinator.beat(beat(worker(2), 2), 6.0)


def test_who_leaves_while_the_next_generation_forms_is_missing():
    coordinator = killed()
    again(coordinator, 0, 2)
    coordinator.beat(beat(worker(2), 1, State.LEFT), 2.0)
    assert coordinator.joined(worker(0)).missing == ("worker-1", "worker-2")


def test_the_waiting_for_a_successor_ends():
    coordinator = killed()
    again(coordinator, 0, 2, now=50.0)
    coordinator.tick(60.9)
    assert coordinator.phase is Phase.FORMING
    coordinator.tick(61.0)
    missing = coordinator.joined(worker(0)).failure
    assert missing is not None
    assert (missing.reason, missing.message) == ("PeerMissing", "worker-1 never joined within 60 s")
    assert coordinator.phase is Phase.FAILED


def test_a_new_coordinator_knows_nobody_and_counts_on():
    coordinator = Coordinator(TERMS, 0.0)
    with pytest.raises(NotAMember, match="worker-2 has not joined"):
        coordinator.beat(beat(worker(2), 7), 0.0)
    coordinator.join(worker(0, 1), 0.0)
    coordinator.join(worker(1, generation=7), 0.0)
    coordinator.join(worker(2, generation=6), 0.0)
    assert coordinator.report(0.0) == JobReport(Phase.RUNNING, 8)


def test_without_any_member_left_numbers_count_on_from_the_attempt():
    coordinator = formed(replace(TERMS, first=3), [worker(index, 3) for index in range(3)])
    assert coordinator.report(0.0) == JobReport(Phase.RUNNING, 4)


def test_who_joins_again_while_we_think_it_runs_is_lost():
    coordinator = formed(TERMS, EVERYBODY)
    coordinator.join(worker(2, generation=1), 1.0)
    assert coordinator.joined(worker(2)).failure == coordinator.failure
    assert coordinator.report(1.0).phase is Phase.FORMING


def test_who_asks_twice_for_the_generation_gets_it_twice():
    coordinator = killed()
    again(coordinator, 0, 2)
    coordinator.join(worker(1, 1), 2.0)
    again(coordinator, 0, now=3.0)
    assert coordinator.joined(worker(0)).generation == coordinator.generation


def test_who_still_is_in_the_generation_before_is_no_member():
    coordinator = killed()
    again(coordinator, 0, 2)
    coordinator.join(worker(1, 1), 2.0)
    with pytest.raises(NotAMember, match="generation 1 is not the present one, 2"):
        coordinator.beat(beat(worker(2), 1), 3.0)
    with pytest.raises(NotAMember, match="generation 1 is not the present one, 2"):
        coordinator.orders(beat(worker(2), 1))


def test_a_pod_that_comes_when_all_is_done_starts_nothing():
    coordinator = formed(TERMS, EVERYBODY)
    for join in EVERYBODY:
        coordinator.beat(beat(join, 1, State.DONE), 1.0)
    coordinator.join(worker(2, 1), 2.0)
    joined = coordinator.joined(worker(2, 1))
    assert (joined.generation, joined.done) == (coordinator.generation, True)
    last = beat(worker(2, 1), 1, State.DONE)
    coordinator.beat(last, 2.1)
    assert coordinator.orders(last) == Orders(Order.FINISH)


def test_a_coordinator_that_failed_goes_when_the_others_have_heard():
    coordinator = killed(0)
    assert not coordinator.deserted(1.0, but=ME)
    again(coordinator, 1)
    assert not coordinator.deserted(1.0, but=ME)
    coordinator.beat(beat(worker(2), 1, State.LEFT), 1.0)
    assert coordinator.deserted(1.0, but=ME)


def test_progress_outlives_its_generation_and_its_pace_does_not():
    coordinator = formed(TERMS, EVERYBODY)
    for now, step in ((0.1, 10), (0.6, 20)):
        coordinator.beat(beat(worker(0), progress={0: Progress(step)}), now)
    coordinator.beat(beat(worker(1), 1, State.FAILED, failure=failure(worker(1))), 1.0)
    again(coordinator, 0, 2)
    coordinator.join(worker(1, 1), 2.0)
    assert coordinator.report(2.0) == JobReport(Phase.RUNNING, 2, progress=Progress(20))
    coordinator.beat(beat(worker(1, 1), 2, progress={1: Progress(15)}), 3.0)
    assert coordinator.report(3.0).progress == Progress(15)
