"""The state machine, step by step; time is a number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trireme.contract import exits
from trireme.contract.wire import (
    Beat,
    Failure,
    Generation,
    JobReport,
    Join,
    Joined,
    Member,
    Order,
    Orders,
    Phase,
    Progress,
    State,
)
from trireme_worker.coordinator import Coordinator
from trireme_worker.membership import Terms
from trireme_worker.roster import NotAMember

TERMS = Terms(replicas=2, join_seconds=60, silence_seconds=15, settle_seconds=0.5)
KILLED = Failure("worker", 1, exits.KILLED, "Signal", "ended by SIGKILL", 5.0, 1, "SIGKILL", ("last line",))
FOLLOWED = Failure("worker", 0, 1, "Error", "HorovodInternalError: gone", 4.0, 0)


def join(index: int, incarnation: str = "uid", slots: int = 1) -> Join:
    return Join(
        "worker",
        index,
        f"{incarnation}-{index}",
        slots,
        f"10.0.0.{index}",
        f"digits-worker-{index}",
        "node",
        5000 + index,
    )


def beat(index: int, state: State = State.RUNNING, **fields: object) -> Beat:
    return replace(Beat("worker", index, f"uid-{index}", 1, state), **fields)  # type: ignore[arg-type]


def running(terms: Terms = TERMS) -> Coordinator:
    coordinator = Coordinator(terms, 0.0)
    for index in reversed(range(terms.replicas)):
        coordinator.join(join(index), 0.0)
    return coordinator


def failed(*failures: Failure) -> Coordinator:
    coordinator = running()
    for failure in failures:
        coordinator.beat(beat(failure.index, State.FAILED, failure=failure), 1.0)
    coordinator.tick(1.5)
    return coordinator


def test_members_of_a_node_and_of_a_domain_stand_together():
    coordinator = Coordinator(replace(TERMS, replicas=5), 0.0)
    for index, (domain, node) in enumerate([("x", "a"), ("y", "b"), ("x", "c"), ("x", "a"), ("y", "b")]):
        coordinator.join(replace(join(index), node=node, domain=domain), 0.0)
    generation = coordinator.joined(join(1)).generation
    assert [member.index for member in generation.members] == [0, 3, 2, 1, 4]
    assert (generation.master, generation.master_port) == ("10.0.0.0", 5000)


def test_members_are_ordered_by_index_whoever_came_first():
    assert running().joined(join(1)) == Joined(
        Generation(
            1,
            (
                Member("worker", 0, 1, "10.0.0.0", "digits-worker-0"),
                Member("worker", 1, 1, "10.0.0.1", "digits-worker-1"),
            ),
            "10.0.0.0",
            5000,
        )
    )


def test_who_is_missing_is_named():
    coordinator = Coordinator(replace(TERMS, replicas=14), 0.0)
    coordinator.join(join(1), 0.0)
    assert coordinator.joined(join(1)).missing == (
        "worker-0", *(f"worker-{index}" for index in range(2, 11)), "3 more"
    )  # fmt: skip


def test_joining_twice_is_joining_once():
    coordinator = Coordinator(TERMS, 0.0)
    coordinator.join(join(0), 0.0)
    coordinator.join(join(0), 1.0)
    assert coordinator.joined(join(1)) == Joined(missing=("worker-1",))
    running_one = running()
    before = running_one.joined(join(1))
    running_one.join(join(0), 1.0)
    assert running_one.joined(join(1)) == before


def test_a_successor_takes_the_place_while_the_job_forms():
    coordinator = Coordinator(TERMS, 0.0)
    coordinator.join(join(0), 0.0)
    coordinator.join(join(0, "successor", slots=3), 1.0)
    coordinator.join(join(1), 1.0)
    assert coordinator.generation is not None
    assert coordinator.generation.members[0].slots == 3
    with pytest.raises(NotAMember, match="worker-0 has not joined"):
        coordinator.beat(beat(0), 2.0)


def test_a_successor_of_a_running_pod_ends_the_generation():
    coordinator = running()
    coordinator.join(join(1, "successor"), 1.0)
    assert coordinator.failure is not None
    assert (coordinator.failure.index, coordinator.failure.reason) == (1, exits.POD_REPLACED)
    assert coordinator.joined(join(1, "successor")).failure == coordinator.failure


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(join(2), id="index too high"),
        pytest.param(join(-1), id="negative index"),
        pytest.param(join(0, slots=0), id="no slots"),
        pytest.param(replace(join(0), role="server"), id="unknown role"),
    ],
)
def test_a_join_that_cannot_be(wrong):
    with pytest.raises(NotAMember, match="is none of 2 workers"):
        Coordinator(TERMS, 0.0).join(wrong, 0.0)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        pytest.param(beat(0, incarnation="other"), "has not joined", id="another pod"),
        pytest.param(beat(7), "has not joined", id="unknown index"),
        pytest.param(beat(0, role="server"), "has not joined", id="unknown role"),
        pytest.param(beat(0, generation=2), "generation 2 is not the present one, 1", id="another generation"),
    ],
)
def test_a_beat_of_a_stranger(wrong, reason):
    with pytest.raises(NotAMember, match=reason):
        running().beat(wrong, 1.0)


def test_silent_and_leaving_pods_are_missing_again_while_the_job_forms():
    coordinator = Coordinator(replace(TERMS, replicas=3), 0.0)
    for index in range(2):
        coordinator.join(join(index), 0.0)
    coordinator.beat(beat(0, State.LEFT, generation=0), 1.0)
    coordinator.tick(16.0)
    assert coordinator.joined(join(1)).missing == ("worker-0", "worker-1", "worker-2")


def test_joining_ends():
    coordinator = Coordinator(replace(TERMS, replicas=4), 0.0)
    for index in (0, 3):
        coordinator.join(join(index), 50.0)
    coordinator.tick(59.9)
    assert coordinator.phase is Phase.FORMING
    coordinator.tick(60.0)
    message = "worker-1, worker-2 never joined within 60 s"
    assert coordinator.joined(join(1)).failure == Failure("worker", 0, exits.PEER_MISSING, "PeerMissing", message, 60.0)


def test_all_done_together():
    coordinator = running()
    coordinator.beat(beat(0, State.DONE), 1.0)
    assert coordinator.orders(beat(0)) == Orders(Order.CONTINUE)
    coordinator.beat(beat(1, State.DONE), 2.0)
    assert coordinator.orders(beat(0)) == Orders(Order.FINISH)


def test_a_failure_that_came_of_itself_is_the_verdict_at_once():
    coordinator = running()
    coordinator.beat(beat(1, State.FAILED, failure=KILLED), 1.0)
    assert coordinator.orders(beat(0)) == Orders(Order.STOP, replace(KILLED, log_tail=()))
    assert coordinator.report(1.0) == JobReport(Phase.FAILED, 1, failure=KILLED)


def test_a_broken_connection_is_the_verdict_when_all_others_were_heard_since():
    coordinator = running()
    coordinator.beat(beat(0, State.FAILED, failure=FOLLOWED), 1.0)
    coordinator.tick(1.5)
    assert coordinator.phase is Phase.RUNNING
    coordinator.beat(beat(1), 1.6)
    coordinator.tick(1.6)
    assert coordinator.orders(beat(1)) == Orders(Order.STOP, FOLLOWED)


def test_a_broken_connection_settles():
    coordinator = running()
    coordinator.beat(beat(0, State.FAILED, failure=FOLLOWED), 1.0)
    coordinator.beat(beat(1), 1.1)
    coordinator.tick(1.4)
    assert coordinator.phase is Phase.RUNNING
    coordinator.tick(1.5)
    assert coordinator.failure == FOLLOWED


def test_who_is_quiet_while_connections_break_is_lost():
    coordinator = running()
    coordinator.beat(beat(0, State.FAILED, failure=FOLLOWED), 1.0)
    coordinator.tick(3.0)
    assert coordinator.phase is Phase.RUNNING
    coordinator.tick(3.1)
    message = "the pod has not been heard of for 3 s"
    assert coordinator.failure == Failure("worker", 1, exits.COORDINATOR_LOST, exits.POD_SILENT, message, 3.1)


def test_the_victim_wins_although_the_survivor_was_heard_first():
    assert failed(FOLLOWED, KILLED).failure == KILLED


def test_a_member_that_is_done_does_not_outvote_a_failure():
    coordinator = running()
    coordinator.beat(beat(1, State.FAILED, failure=FOLLOWED), 1.0)
    coordinator.beat(beat(0, State.DONE), 1.1)
    coordinator.beat(beat(1, State.LEFT), 1.2)
    assert coordinator.orders(beat(0)).order is Order.CONTINUE
    coordinator.tick(1.5)
    assert coordinator.orders(beat(0)).order is Order.STOP


def test_silence_is_a_failure():
    coordinator = running()
    coordinator.beat(beat(0), 10.0)
    coordinator.tick(15.1)
    coordinator.beat(beat(0), 15.2)
    coordinator.tick(15.6)
    message = "the pod has not been heard of for 15 s"
    assert coordinator.failure == Failure("worker", 1, exits.COORDINATOR_LOST, exits.POD_SILENT, message, 15.1)


@pytest.mark.parametrize(
    ("last", "now", "free"),
    [
        pytest.param(State.DONE, 2.0, False, id="not yet"),
        pytest.param(State.LEFT, 2.0, True, id="left"),
        pytest.param(State.DONE, 17.0, True, id="silent"),
    ],
)
def test_worker_0_goes_last(last, now, free):
    coordinator = running()
    coordinator.beat(beat(0, State.DONE), 1.0)
    coordinator.beat(beat(1, State.DONE), 1.0)
    coordinator.beat(beat(1, last), 1.5)
    assert coordinator.deserted(now, but=("worker", 0)) is free


def test_progress_is_the_lowest_reporting_ranks():
    coordinator = running()
    coordinator.beat(beat(1, progress={1: Progress(100)}), 1.0)
    coordinator.beat(beat(0, progress={0: Progress(10, 50, {"loss": 0.5})}), 2.0)
    coordinator.beat(beat(1, progress={1: Progress(200)}), 3.0)
    coordinator.beat(beat(0, progress={0: Progress(16, 50)}), 5.0)
    assert coordinator.report(10.0) == JobReport(Phase.RUNNING, 1, progress=Progress(16, 50), steps_per_second=2.0)


def test_speed_forgets_what_was_long_ago_and_a_step_back():
    coordinator = running()
    for now, step in [(0.0, 0), (100.0, 1000), (110.0, 1010), (120.0, 1030)]:
        coordinator.beat(beat(0, progress={0: Progress(step)}), now)
    assert coordinator.report(10.0).steps_per_second == 1.5
    coordinator.beat(beat(0, progress={0: Progress(0)}), 121.0)
    assert coordinator.report(10.0).steps_per_second is None


def server(index: int) -> Join:
    return Join(
        "server", index, f"server-uid-{index}", 0, f"10.0.1.{index}", f"digits-server-{index}", "node", 6000 + index
    )


def serves(index: int, state: State = State.RUNNING) -> Beat:
    return Beat("server", index, f"server-uid-{index}", 1, state)


WITH_SERVERS = replace(TERMS, servers=2)


def test_servers_join_and_hold_no_rank():
    coordinator = Coordinator(WITH_SERVERS, 0.0)
    for each in (server(0), join(0), join(1)):
        coordinator.join(each, 0.0)
    assert coordinator.joined(join(1)) == Joined(missing=("server-1",))
    coordinator.join(server(1), 0.0)
    generation = coordinator.joined(join(1)).generation
    assert [(member.role, member.index) for member in generation.members] == [("worker", 0), ("worker", 1)]


@pytest.mark.parametrize(
    "stranger", [server(2), replace(server(0), slots=1), replace(join(0), slots=0), replace(join(0), role="chief")]
)
def test_a_server_that_the_job_does_not_have(stranger):
    with pytest.raises(NotAMember, match="is none of 2 workers and 2 servers"):
        Coordinator(WITH_SERVERS, 0.0).join(stranger, 0.0)


def serving() -> Coordinator:
    coordinator = Coordinator(WITH_SERVERS, 0.0)
    for each in (server(0), server(1), join(0), join(1)):
        coordinator.join(each, 0.0)
    return coordinator


def test_the_job_is_done_when_the_workers_are():
    coordinator = serving()
    coordinator.beat(serves(0), 1.0)
    coordinator.beat(beat(0, State.DONE), 1.0)
    assert coordinator.orders(beat(0)).order is Order.CONTINUE
    coordinator.beat(beat(1, State.DONE), 1.0)
    assert coordinator.orders(beat(0)).order is Order.FINISH
    assert not coordinator.deserted(1.0, but=("worker", 0))
    for last in (beat(1, State.LEFT), serves(0, State.LEFT), serves(1, State.LEFT)):
        coordinator.beat(last, 1.0)
    assert coordinator.deserted(1.0, but=("worker", 0))


def test_a_lost_server_is_a_failure_of_its_own():
    coordinator = serving()
    for index in range(2):
        coordinator.beat(beat(index), 15.5)
    coordinator.beat(serves(0), 15.5)
    coordinator.tick(15.5)
    coordinator.tick(16.0)
    assert (coordinator.failure.role, coordinator.failure.index, coordinator.failure.reason) == (
        "server", 1, "PodSilent",
    )  # fmt: skip
