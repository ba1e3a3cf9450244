"""Members whose processes failed and that may start again in their pods: who is held, released, let go; time is a
number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.members import beat, failure, formed, steps, worker
from trireme.contract import exits, wire
from trireme.contract.wire import Held, Joined, News, Order, Orders, Phase, Ruling, State
from trireme_worker.coordinator import Coordinator
from trireme_worker.holding import LISTENING_SECONDS, OPERATOR, RULING_SECONDS
from trireme_worker.membership import Limits, Terms

TERMS = Terms(replicas=3, join_seconds=60, restarts=True)
SERVED = replace(TERMS, independent=True)
VICTIM = worker(1)
FAILURE = failure(VICTIM)
CAUSE = replace(FAILURE, log_tail=())
GO_ON = Ruling(VICTIM.incarnation, attempt=0, next_attempt=1)
LET_GO = Ruling(VICTIM.incarnation, attempt=0)


def running(terms: Terms = TERMS) -> Coordinator:
    """Generation 1, and an operator that listens."""
    coordinator = formed(terms, [worker(index) for index in range(3)])
    coordinator.holding.listens(0.5)
    return coordinator


def fail(coordinator: Coordinator, now: float = 1.0, generation: int = 1, **changes: object) -> None:
    """The rank of worker 1 fails, and its pod asks to join again."""
    said = replace(FAILURE, at=now, **changes)  # type: ignore[arg-type]
    coordinator.beat(beat(VICTIM, generation, State.FAILED, failure=said), now)
    coordinator.join(worker(1, generation=generation), now)


def again(coordinator: Coordinator, *indices: int, generation: int = 1) -> None:
    for index in indices:
        coordinator.join(worker(index, generation=generation), 1.5)


def present(coordinator: Coordinator) -> tuple[Phase, int, int, Held | None]:
    news = coordinator.news(2.0)
    return news.phase, news.generation, news.attempt, news.held


def test_the_operator_is_asked_and_everybody_joins_again() -> None:
    coordinator = running()
    before = coordinator.holding.number
    fail(coordinator)
    assert [coordinator.orders(beat(worker(index))) for index in range(3)] == [Orders(Order.REJOIN, CAUSE)] * 3
    assert coordinator.joined(VICTIM) == Joined(missing=(OPERATOR,))
    assert coordinator.awaits(VICTIM)
    everybody = ("worker-0", "worker-1", "worker-2")
    held = Held(VICTIM.incarnation, 0, FAILURE)
    assert coordinator.news(1.0) == News(
        Phase.FORMING, 1, everybody, failure=CAUSE, number=coordinator.holding.number, attempt=0, held=held
    )
    assert coordinator.holding.number > before


def test_the_next_generation_has_the_attempt_that_was_ruled() -> None:
    coordinator = running()
    fail(coordinator)
    again(coordinator, 0, 2)
    coordinator.rule(GO_ON, 1.6)
    generation = coordinator.joined(VICTIM).generation
    assert generation is not None
    assert (generation.number, generation.attempt, len(generation.members)) == (2, 1, 3)
    assert present(coordinator) == (Phase.RUNNING, 2, 1, None)


def test_who_is_slow_to_stop_joins_after_the_ruling() -> None:
    coordinator = running()
    coordinator.beat(beat(VICTIM, 1, State.FAILED, failure=FAILURE), 1.0)
    again(coordinator, 0, 2)
    coordinator.rule(GO_ON, 1.2)
    assert present(coordinator) == (Phase.FORMING, 1, 1, None)
    again(coordinator, 1)
    assert present(coordinator) == (Phase.RUNNING, 2, 1, None)


@pytest.mark.parametrize("twice", [GO_ON, LET_GO], ids=["the same", "another word, too late"])
def test_a_ruling_may_come_twice(twice: Ruling) -> None:
    coordinator = running()
    fail(coordinator)
    again(coordinator, 0, 2)
    coordinator.rule(GO_ON, 1.6)
    coordinator.rule(twice, 1.7)
    assert present(coordinator) == (Phase.RUNNING, 2, 1, None)
    assert coordinator.orders(beat(VICTIM, 2)) == Orders(Order.CONTINUE)


def test_a_pause_is_kept_and_nobody_is_asked_meanwhile() -> None:
    coordinator = running()
    fail(coordinator)
    again(coordinator, 0, 2)
    coordinator.rule(replace(GO_ON, pause_seconds=10.0), 1.6)
    coordinator.tick(11.5)
    assert present(coordinator) == (Phase.FORMING, 1, 1, None)
    coordinator.tick(11.6)
    assert present(coordinator) == (Phase.RUNNING, 2, 1, None)


def test_an_elastic_job_does_not_wait_for_who_waits_out_a_pause() -> None:
    coordinator = running(replace(TERMS, limits=Limits(minimum=1, maximum=3, settle_seconds=3)))
    fail(coordinator)
    again(coordinator, 0, 2)
    coordinator.rule(replace(GO_ON, pause_seconds=40.0), 1.6)
    coordinator.tick(4.6)
    assert coordinator.generation is not None
    assert [member.index for member in coordinator.generation.members] == [0, 2]
    assert present(coordinator) == (Phase.RUNNING, 2, 1, None)
    assert coordinator.news(4.6).waiting
    coordinator.tick(41.6)
    assert coordinator.awaits(VICTIM)
    assert not coordinator.news(41.6).waiting


@pytest.mark.parametrize("ruled", [True, False], ids=["ruled", "no word in time"])
def test_a_pod_that_is_let_go_ends_by_its_failure(ruled: bool) -> None:
    coordinator = running()
    fail(coordinator)
    again(coordinator, 0, 2)
    if ruled:
        coordinator.rule(LET_GO, 1.6)
    else:
        coordinator.tick(1.0 + RULING_SECONDS - 0.1)
        assert coordinator.joined(VICTIM).failure is None
        coordinator.tick(1.0 + RULING_SECONDS)
    assert coordinator.joined(VICTIM) == Joined(failure=CAUSE)
    assert not coordinator.awaits(VICTIM)
    assert present(coordinator) == (Phase.FORMING, 1, 0, None)
    coordinator.join(worker(1, 1), 8.0)
    assert present(coordinator) == (Phase.RUNNING, 2, 0, None)


def test_a_ruling_on_an_earlier_failure_of_the_pod_is_none_on_this_one() -> None:
    coordinator = running()
    fail(coordinator)
    again(coordinator, 0, 2)
    coordinator.rule(GO_ON, 1.6)
    coordinator.beat(beat(VICTIM, 2, progress=steps(r1=1)), 2.0)
    coordinator.beat(beat(VICTIM, 2, progress=steps(r1=2)), 2.1)
    fail(coordinator, 3.0, generation=2)
    coordinator.rule(GO_ON, 3.1)
    held = coordinator.news(3.1).held
    assert held is not None
    assert held.attempt == 1


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exit_code": exits.COMMAND_NOT_FOUND}, id="a wrong command"),
        pytest.param({"exit_code": exits.HUNG}, id="a hang"),
        pytest.param({"exit_code": exits.AGENT_ERROR}, id="the agent's own"),
        pytest.param({"reason": exits.OOM_KILLED}, id="memory"),
    ],
)
def test_what_ends_its_pod_at_once(changes: dict[str, object]) -> None:
    coordinator = running()
    fail(coordinator, **changes)
    assert coordinator.orders(beat(VICTIM)).order is Order.STOP
    assert coordinator.news(1.0).held is None


def test_without_an_operator_that_listens_its_pod_ends_at_once() -> None:
    coordinator = running()
    fail(coordinator, 0.6 + LISTENING_SECONDS)
    assert coordinator.orders(beat(VICTIM)).order is Order.STOP


def test_a_pod_that_is_told_to_stop_ends() -> None:
    coordinator = running()
    told = replace(failure(VICTIM, exits.TERMINATED, "Signal", "the pod was told to stop (SIGTERM)"), rank=None)
    coordinator.beat(beat(VICTIM, 1, State.LEFT, failure=told), 1.0)
    assert coordinator.orders(beat(VICTIM)).order is Order.STOP


@pytest.mark.parametrize(
    ("steps_of", "order"),
    [
        pytest.param((), Order.STOP, id="not a word"),
        pytest.param((0,), Order.STOP, id="a first report is no step"),
        pytest.param((0, 1), Order.REJOIN, id="a step"),
    ],
)
def test_a_pod_that_fails_again_without_a_step_of_the_job_is_left(steps_of: tuple[int, ...], order: Order) -> None:
    coordinator = running()
    fail(coordinator)
    again(coordinator, 0, 2)
    coordinator.rule(GO_ON, 1.6)
    for step in steps_of:  # where only rank 0 reports, it speaks for all
        coordinator.beat(beat(worker(0), 2, progress=steps(r0=step)), 2.0)
    fail(coordinator, 3.0, generation=2)
    assert coordinator.orders(beat(VICTIM, 2)).order is order


def test_a_successor_ends_the_waiting() -> None:
    coordinator = running()
    fail(coordinator)
    again(coordinator, 0, 2)
    coordinator.join(worker(1, 1), 2.0)
    assert present(coordinator) == (Phase.RUNNING, 2, 0, None)
    assert coordinator.joined(VICTIM) == Joined(failure=CAUSE)


def test_the_attempt_is_the_latest_that_anybody_knows() -> None:
    coordinator = formed(replace(TERMS, first=2), [replace(worker(index), attempt=index) for index in (2, 4, 3)][:1])
    for index, attempt in ((0, 4), (1, 3)):
        coordinator.join(replace(worker(index), attempt=attempt), 0.0)
    generation = coordinator.joined(worker(0)).generation
    assert generation is not None
    assert (generation.attempt, coordinator.news(0.0).attempt) == (4, 4)


def test_an_independent_member_starts_again_alone() -> None:
    coordinator = running(SERVED)
    fail(coordinator)
    others = [coordinator.orders(beat(worker(index))).order for index in (0, 2)]
    assert (coordinator.orders(beat(VICTIM)), others) == (Orders(Order.REJOIN, CAUSE), [Order.CONTINUE] * 2)
    assert coordinator.joined(VICTIM) == Joined(missing=(OPERATOR,))
    assert coordinator.news(1.0).missing == ("worker-1",)
    coordinator.rule(GO_ON, 1.2)
    generation = coordinator.joined(VICTIM).generation
    assert generation is not None
    assert (generation.number, generation.attempt) == (1, 1)
    assert coordinator.news(1.2) == News(Phase.RUNNING, 1, number=coordinator.holding.number, attempt=1)
    assert coordinator.orders(beat(VICTIM)) == Orders(Order.CONTINUE)


def test_an_independent_member_that_missed_its_orders_hears_them_after_the_ruling() -> None:
    coordinator = running(SERVED)
    lost = beat(VICTIM, 1, State.FAILED, failure=FAILURE)
    coordinator.beat(lost, 1.0)
    coordinator.rule(GO_ON, 1.2)
    coordinator.beat(lost, 1.3)
    assert coordinator.orders(lost) == Orders(Order.REJOIN, CAUSE)
    coordinator.join(worker(1, generation=1), 1.4)
    assert coordinator.news(1.4).missing == ()


def test_an_independent_member_that_is_let_go_has_a_successor() -> None:
    coordinator = running(SERVED)
    fail(coordinator)
    coordinator.rule(LET_GO, 1.2)
    assert coordinator.joined(VICTIM) == Joined(failure=CAUSE)
    assert coordinator.orders(beat(VICTIM)) == Orders(Order.STOP, CAUSE)
    coordinator.join(worker(1, 1), 3.0)
    assert coordinator.news(3.0).missing == ()


def test_of_several_the_first_is_told_until_it_is_ruled() -> None:
    coordinator = running(SERVED)
    fail(coordinator)
    coordinator.beat(beat(worker(2), 1, State.FAILED, failure=failure(worker(2))), 1.1)
    first = coordinator.news(1.1).held
    coordinator.rule(GO_ON, 1.2)
    second = coordinator.news(1.2).held
    assert first is not None
    assert second is not None
    assert [(held.incarnation, held.attempt) for held in (first, second)] == [("uid-1-0", 0), ("uid-2-0", 0)]


def test_an_elastic_job_waits_for_the_ruling_and_goes_on_without_a_pod_that_is_let_go() -> None:
    coordinator = running(replace(TERMS, limits=Limits(2, 3, settle_seconds=3.0)))
    fail(coordinator)
    again(coordinator, 0, 2)
    coordinator.tick(1.0 + RULING_SECONDS - 0.1)
    assert coordinator.phase is Phase.FORMING
    coordinator.tick(1.0 + RULING_SECONDS)
    assert coordinator.generation is not None
    assert [member.index for member in coordinator.generation.members] == [0, 2]


def test_what_the_operator_hears_of_a_long_log_is_bounded() -> None:
    coordinator = running()
    fail(coordinator, log_tail=("x" * 1024,) * 40)
    held = coordinator.news(1.0).held
    assert held is not None
    assert held.failure.log_tail == ("x" * 1024,) * 3
    assert wire.bounded(held.failure) == held.failure
