"""One range as a state machine: every interleaving that Hypothesis finds, checked against the books of its workers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from trireme_worker.comm.ps.consistency import Clock, Consistency
from trireme_worker.comm.ps.errors import Reason
from trireme_worker.comm.ps.slot import Asked, Change, Effects, Push, Slot, Status
from trireme_worker.comm.ps.table import Table

SYNC, ASYNC, BOUNDED = (Consistency.parse(text) for text in ("Sync", "Async", "Bounded:1"))
WORKERS = 3


def slot(workers: int = 2, reduction: str = "sum") -> Slot:
    made = Slot(Table("w", 2, reduction=reduction), 0)
    made.install(torch.zeros(2), {}, Clock(range(workers)), 0, 1)
    made.status = Status.PRIMARY
    return made


def push(worker: int, number: int, value: float, token: object = None, values: bool = False) -> Push:
    asked = Asked(token or (worker, number), worker, number, values)
    return Push(asked, f"session-{worker}", torch.full((2,), float(value)))


def answered(effects: Effects) -> list[object]:
    return [(answer.asked.token, answer.refused) for answer in effects.answers]


def test_sync_waits_for_all_and_answers_all_once_the_chain_has_it() -> None:
    one = slot(reduction="mean")
    assert answered(one.push(push(0, 1, 4, values=True), SYNC)) == []
    effects = one.push(push(1, 1, 2), SYNC)
    assert answered(effects) == []
    assert effects.change is not None
    assert effects.change.gradient.tolist() == [3, 3]
    done = one.commit(1, SYNC, effects.change)
    assert answered(done) == [((1, 1), None), ((0, 1), None)]
    assert done.answers[1].values is one.values
    assert one.values is not None
    assert one.values.tolist() == [3, 3]


def test_a_push_again_is_answered_and_not_added() -> None:
    one = slot()
    one.push(push(0, 1, 4, "first"), SYNC)
    assert answered(one.push(push(0, 1, 4, "again"), SYNC)) == []
    one.push(push(1, 1, 2), SYNC)
    assert answered(one.commit(1, SYNC)) == [("first", None), ((1, 1), None), ("again", None)]
    assert answered(one.push(push(0, 1, 4, "late"), SYNC)) == [("late", None)]
    assert one.values is not None
    assert one.values.tolist() == [6, 6]


def test_a_gap_is_refused_with_what_counts() -> None:
    effects = slot().push(push(0, 5, 1), ASYNC)
    assert [(a.refused, a.number) for a in effects.answers] == [(Reason.GAP, 0)]


def test_values_that_are_being_sent_stay_as_they_are() -> None:
    one = slot()
    lent = one.pull(Asked("pull", 0, 0, True), ASYNC).answers[0].values
    assert lent is not None
    one.push(push(0, 1, 4), ASYNC)
    assert (lent.tolist(), one.values.tolist()) == ([0, 0], [4, 4])  # type: ignore[union-attr]


def descending(chained: bool) -> Slot:
    """Two workers, whose mean gradient is taken off."""
    one = Slot(Table("w", 2, function={"name": "sgd", "lr": 1.0}), 0)
    one.install(torch.zeros(2), {}, Clock(range(2)), 0, 1)
    one.status, one.chained = Status.PRIMARY, chained
    return one


def step(one: Slot, number: int, *gradients: float) -> None:
    for worker, gradient in enumerate(gradients):
        effects = one.push(push(worker, number, gradient), SYNC)
    assert effects.change is not None
    one.commit(number, SYNC, effects.change)


@pytest.mark.parametrize("chained", [False, True], ids=["alone", "with backups"])
def test_in_sync_the_values_before_a_step_are_there_until_the_next_begins(chained: bool) -> None:
    one = descending(chained)
    step(one, 1, 4, 2)
    step(one, 2, 8, 8)
    resumed = one.pull(Asked("successor", 0, 1, True, resumes=True), SYNC).answers[0]
    assert (resumed.number, resumed.values.tolist()) == (1, [-3, -3])  # type: ignore[union-attr]
    assert one.values.tolist() == [-11, -11]  # type: ignore[union-attr]
    one.push(push(0, 3, 1), SYNC)
    begun = one.pull(Asked("late", 0, 1, True, resumes=True), SYNC).answers[0]
    assert (begun.number, begun.values.tolist()) == (2, [-11, -11])  # type: ignore[union-attr]


def test_without_backups_two_tensors_take_turns() -> None:
    one = descending(chained=False)
    step(one, 1, 4, 2)
    seen = set()
    for number in range(2, 6):
        step(one, number, 1, 1)
        seen.add(one.values.data_ptr())  # type: ignore[union-attr]
    assert len(seen) == 2


def test_values_on_their_way_outlast_the_steps_after_them() -> None:
    one = descending(chained=False)
    lent = one.pull(Asked("pull", 0, 0, True), SYNC).answers[0].values
    for number in range(1, 4):
        step(one, number, 1, 1)
    assert lent is not None
    assert (lent.tolist(), one.values.tolist()) == ([0, 0], [-3, -3])  # type: ignore[union-attr]
    one.give_back(lent)


def test_a_chain_gets_the_gradient_that_was_applied() -> None:
    one = descending(chained=True)
    one.push(push(0, 1, 4), SYNC)
    change = one.push(push(1, 1, 2), SYNC).change
    assert change is not None
    assert (change.gradient.tolist(), one.values.tolist()) == ([3, 3], [-3, -3])  # type: ignore[union-attr]


def test_bounded_holds_back_who_runs_ahead() -> None:
    one = slot()
    for number in (1, 2):
        one.push(push(0, number, 1, values=True), BOUNDED)
    assert [answer.asked.number for answer in one.commit(2, BOUNDED).answers] == [1]
    one.push(push(1, 1, 1), BOUNDED)
    assert [answer.asked.number for answer in one.commit(3, BOUNDED).answers] == [1, 2]


def test_a_lost_worker_is_waited_for_no_more() -> None:
    one = slot()
    one.push(push(0, 1, 1), SYNC)
    effects = one.leave(1, SYNC)
    assert effects.change is not None
    assert one.join(1) == 1


def test_a_successor_makes_the_others_push_again() -> None:
    one = slot(3)
    one.push(push(0, 1, 1), SYNC)
    one.push(push(1, 1, 1), SYNC)
    assert answered(one.retire(0, "successor")) == [((1, 1), Reason.NOT_READY)]
    assert one.clock.get(0) == 0


def test_room_that_was_not_filled_is_given_up() -> None:
    one = slot()
    place = one.place(0, 1, SYNC.mode)
    assert place is not None
    assert one.filling(1)
    assert one.place(1, 1, SYNC.mode) is None
    one.abandon(0, 1)
    assert one.place(1, 1, SYNC.mode) is place


def test_a_changed_rule_lets_go_who_waits() -> None:
    one = slot()
    one.push(push(0, 1, 1), SYNC)
    assert one.reconsider(ASYNC).change is not None


@dataclass
class Books:
    """What a worker knows."""

    number: int = 0
    """Of the last push that was acknowledged."""
    waiting: int = 0
    """Of the push under way; 0: none."""
    total: float = 0.0
    sent: list[Push] = field(default_factory=list)


class Machine(RuleBasedStateMachine):
    """A primary and its backup, changes on their way between them, and workers that send again and out of order."""

    @initialize(mode=st.sampled_from([SYNC, ASYNC, BOUNDED]))
    def begin(self, mode: Consistency) -> None:
        self.mode = mode
        self.primary, self.backup = slot(WORKERS), slot(WORKERS)
        self.backup.status, self.primary.chained = Status.BACKUP, True
        self.primary.commit(0, mode)
        self.chain: list[Change] = []
        self.books = [Books() for _ in range(WORKERS)]

    def carry_out(self, effects: Effects) -> None:
        while True:
            for answer in effects.answers:
                self.hear(answer.asked, answer.refused, answer.number)
            if effects.change is None:
                return
            self.chain.append(effects.change)
            effects = self.primary.reconsider(self.mode)

    def hear(self, asked: Asked, refused: Reason | None, last: int) -> None:
        book = self.books[asked.worker]
        if refused is None and asked.number == book.waiting != 0:
            book.number, book.waiting = book.waiting, 0
            book.total += value(asked.worker, asked.number)
        elif refused is not None:
            assert refused in (Reason.NOT_READY, Reason.GAP)

    @rule(worker=st.integers(0, WORKERS - 1), values=st.booleans())
    def push(self, worker: int, values: bool) -> None:
        book = self.books[worker]
        if not book.waiting:
            book.waiting = book.number + 1
            book.sent.append(push(worker, book.waiting, value(worker, book.waiting), values=values))
        self.carry_out(self.primary.push(book.sent[-1], self.mode))

    @rule(worker=st.integers(0, WORKERS - 1), data=st.data())
    def deliver_again(self, worker: int, data: st.DataObject) -> None:
        sent = self.books[worker].sent
        if sent:
            self.carry_out(self.primary.push(data.draw(st.sampled_from(sent)), self.mode))

    @precondition(lambda self: self.chain)
    @rule()
    def replicate(self) -> None:
        change = self.chain.pop(0)
        assert self.backup.follow(change)
        self.carry_out(self.primary.commit(change.version, self.mode, change))
        self.carry_out(self.primary.reconsider(self.mode))

    @rule()
    def take_over(self) -> None:
        """The primary dies; the backup, which has all that was acknowledged, becomes a primary with a new backup."""
        self.primary.freeze()
        self.carry_out(self.primary.drop(Reason.NOT_READY, "gone"))
        self.chain.clear()
        fresh = slot(WORKERS)
        assert self.backup.values is not None
        fresh.install(self.backup.values.clone(), {}, Clock.of(self.backup.clock.plain()), self.backup.version, 1)
        fresh.status = Status.BACKUP
        self.primary, self.backup = self.backup, fresh
        self.primary.status, self.primary.chained = Status.PRIMARY, True
        self.carry_out(self.primary.commit(self.primary.version, self.mode))

    @rule(mode=st.sampled_from([SYNC, ASYNC, BOUNDED]))
    def change_rule(self, mode: Consistency) -> None:
        self.mode = mode
        self.carry_out(self.primary.reconsider(mode))

    @rule(worker=st.integers(0, WORKERS - 1))
    def pull(self, worker: int) -> None:
        number = self.books[worker].number
        self.carry_out(self.primary.pull(Asked("pull", worker, number, True), self.mode))

    @invariant()
    def what_was_acknowledged_counts_once(self) -> None:
        for at in (self.primary, self.backup):
            for worker, book in enumerate(self.books):
                assert book.number <= at.clock.get(worker) <= max(book.waiting, book.number)
            assert at.values is not None
            counted = sum(
                value(worker, number) for worker in range(WORKERS) for number in range(1, at.clock.get(worker) + 1)
            )
            assert at.values.tolist() == [counted] * 2


def value(worker: int, number: int) -> float:
    """Whole numbers whose sums tell which pushes they are made of, as far as float32 goes."""
    return float((worker + 1) * 1000 + number)


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestMachine = Machine.TestCase


@pytest.mark.parametrize("rows", [[0, 0, 1], []], ids=["some", "none"])
def test_rows_add_up(rows: list[int]) -> None:
    one = Slot(Table("e", 4, row=2, reduction="sum"), 0)
    one.install(torch.zeros(4), {}, Clock(range(2)), 0, 1)
    one.status = Status.PRIMARY
    for worker in range(2):
        given = torch.ones(len(rows), 2)
        sent = Push(Asked(worker, worker, 1), "s", given, torch.tensor(rows, dtype=torch.int64))
        effects = one.push(sent, SYNC)
    assert effects.change is not None
    assert one.values is not None
    assert one.values.tolist() == ([4, 4, 2, 2] if rows else [0, 0, 0, 0])
