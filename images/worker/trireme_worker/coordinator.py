"""The coordinator's state machine: who is a member, when a generation forms, how it ends. No I/O and no clock.

Forming -> Running -> Done. A generation that ends by a failure is followed by the next one, Running -> Forming, or,
where all pods restart, by nothing: Running -> Failed. Forming -> Failed when pods are missing for too long. Independent
members (parameter server) come and go while the generation runs (docs/adr/0013). An elastic job's generation also ends,
without a failure, when members leave or newcomers have waited for long enough (docs/adr/0017). A member whose process
failed may be a member of the next generation; the operator says so (holding.py).

Every method takes `now`: Unix time by a clock that never goes back. The wire's service (service.py) is its only caller;
what it decides is read from `joined`, `orders` and `report`, and has changed when `revision` has.
"""

from __future__ import annotations

from trireme.contract import exits, names, wire
from trireme.contract.wire import Beat, Failure, Generation, Join, Joined, Order, Orders, Phase, State

from trireme_worker import membership, verdict
from trireme_worker.growth import Growth
from trireme_worker.hangwatch import HangWatch
from trireme_worker.holding import OPERATOR, Holding
from trireme_worker.membership import Gathering, Seat, Terms, Who
from trireme_worker.pace import Pace
from trireme_worker.roster import NotAMember, Roster

NEXT_GENERATION = "the next generation"
"""What a newcomer to a running job waits for, in the place of a missing pod's name."""


class Coordinator:
    def __init__(self, terms: Terms, now: float) -> None:
        self._terms = terms
        self._deadline = now + terms.join_seconds
        self._number = terms.first
        """Of the present generation; while one forms, of the last one that anybody has told of."""
        self._roster = Roster(terms)
        self._holders: dict[int, Who] = {}
        """Whose each rank is."""
        self.finished: tuple[int, ...] = ()
        """Ranks that have ended well; a parameter server waits for none of them."""
        self._failures: list[Failure] = []
        """Of the present generation, until their root is known."""
        self._reported = 0.0
        """When the first of them came."""
        self._growth = Growth(terms, now)
        self._pace = Pace()
        self._hangs = HangWatch(terms, self._pace)
        self.holding = Holding(terms.first)
        self.phase = Phase.FORMING
        self.generation: Generation | None = None
        self.failure: Failure | None = None
        """Why the job has failed, or what ended the last generation, or what an independent member is missing for."""
        self.revision = 0

    def join(self, join: Join, now: float) -> None:
        """Idempotent. Raises NotAMember for a pod that the job does not have."""
        if not membership.belongs(self._terms, join):
            raise self._stranger(join)
        if join.incarnation in self._roster.retired:
            return
        self.holding.learns(join.attempt)
        for incarnation, failure in self.holding.replaced(join):
            self._roster.give_up(incarnation, failure)
            self.revision += 1
        if self.holding.joins(join):
            return
        who = join.role, join.index
        if self.phase is Phase.FORMING:
            self._join_forming(who, join, now)
        elif self.phase is Phase.RUNNING:
            self._join_running(who, join, now)
        elif self.phase is Phase.DONE and not self._roster.holds(who, join.incarnation):
            self._roster.seats[who] = Seat(join, now, done=True)

    def joined(self, join: Join) -> Joined:
        """What a joining member hears."""
        if join.incarnation in self._roster.retired:
            return Joined(failure=verdict.brief(self._roster.retired[join.incarnation]))
        if self.holding.holds(join.incarnation):
            return Joined(missing=(OPERATOR,))
        if self.phase is Phase.FORMING:
            return Joined(missing=self._missing_names())
        if self.phase is Phase.FAILED:
            return Joined(None, self._missing_names(), verdict.brief(self.failure))
        if self._waits(join):
            return Joined(missing=(NEXT_GENERATION,))
        return Joined(self.generation, done=self._roster.seats[join.role, join.index].done)

    def awaits(self, join: Join) -> bool:
        """Whether a joining member has still to wait for what it is to hear."""
        if join.incarnation in self._roster.retired:
            return False
        return self.phase is Phase.FORMING or self._waits(join) or self.holding.holds(join.incarnation)

    def beat(self, beat: Beat, now: float) -> None:
        """Raises NotAMember when another pod holds the place, or the generation is none of the sender's."""
        who = beat.role, beat.index
        seat = self._roster.seats.get(who)
        if self.phase is Phase.FORMING:
            self._roster.beat_forming(who, beat, now)
        elif beat.incarnation not in self._roster.retired:
            if seat is None or seat.join.incarnation != beat.incarnation:
                raise NotAMember(f"{names.pod_label(*who)} has not joined")
            if beat.state is not State.LEFT:
                self._of_this_generation(beat)
            self._hear(who, seat, beat, now)
        elif seat is not None and seat.join.incarnation == beat.incarnation:
            seat.left |= beat.state is State.LEFT

    def orders(self, beat: Beat) -> Orders:
        """What the sender of a beat is to do. Raises NotAMember when its generation ended before the last one did."""
        if self.phase is Phase.DONE:
            return Orders(Order.FINISH)
        failure = self._roster.retired.get(beat.incarnation, self.failure if self.phase is Phase.FAILED else None)
        if failure is not None:
            return Orders(Order.STOP, verdict.brief(failure))
        self._of_this_generation(beat)
        if self.phase is Phase.FORMING:
            return Orders(Order.REJOIN, verdict.brief(self.failure))
        seat = self._roster.seats.get((beat.role, beat.index))
        if seat is not None and seat.gone and seat.holds(beat.incarnation):
            return Orders(Order.REJOIN, verdict.brief(seat.failure))
        return Orders(Order.DUMP if self._hangs.asks((beat.role, beat.index)) else Order.CONTINUE)

    def tick(self, now: float) -> None:
        """What happens by time alone: members fall silent, a verdict settles, no step comes, the joining ends."""
        self._see_to_held(now)
        if self.phase is Phase.FORMING:
            for who in self._roster.silent(now, self._terms.silence_seconds):
                del self._roster.seats[who]
            if membership.enough(self._terms, self._gathering(now)):
                self._form_next(now)
            elif now >= self._deadline:
                self._never_formed(now)
        elif self.phase is Phase.RUNNING:
            self._find_lost(now)
            self._judge(now)
            self._find_hung(now)
            if self.phase is Phase.RUNNING and not self._failures:
                self._make_room(now)

    def deserted(self, now: float, but: Who) -> bool:
        """Whether every member except `but` has had its last orders or has fallen silent: the coordinator may go."""
        return self._roster.all_heard(but) if self.phase is Phase.FORMING else self._roster.all_left(now, but)

    def rule(self, ruling: wire.Ruling, now: float) -> None:
        """Idempotent."""
        self.holding.rule(ruling, now)
        self._see_to_held(now)
        self.revision += 1

    def news(self, now: float) -> wire.News:
        """The report, to an operator that gives rulings."""
        known = vars(self.report(now)) | {"failure": verdict.brief(self.failure)}
        return wire.News(**known, number=self.holding.number, attempt=self.holding.attempt, held=self.holding.first(),
                         waiting=self.holding.waiting)  # fmt: skip

    def report(self, now: float) -> wire.JobReport:
        return wire.JobReport(
            phase=self.phase,
            generation=self._number,
            missing=self._missing_names(),
            progress=self._pace.progress,
            steps_per_second=self._pace.steps_per_second(),
            failure=self.failure,
            stragglers=self._pace.stragglers(now),
            silent=self._roster.silenced(now),
        )

    def _join_forming(self, who: Who, join: Join, now: float) -> None:
        self._number = max(self._number, join.generation)
        self._growth.joins(who, join, self._roster.seats, now)
        self._roster.seats[who] = Seat(join, now, done=join.done, place=join.place)
        running = max(seat.join.generation for seat in self._roster.seats.values())
        if running:
            self._growth.resumes()
        if self._terms.independent and running and not self._terms.limits:
            self._resume(running, now)
        elif membership.enough(self._terms, self._gathering(now)):
            self._form_next(now)

    def _gathering(self, now: float) -> Gathering:
        """Nobody who waits out a pause is waited for."""
        former = {
            who: seat for who, seat in self._roster.former.items() if not self.holding.waits(seat.join.incarnation)
        }
        return self._growth.gathering(self._roster.seats, former, now)

    def _form_next(self, now: float) -> None:
        self._roster.seats = self._growth.admits(self._roster.seats)
        resumed = self._terms.independent and any(seat.join.generation for seat in self._roster.seats.values())
        self._number += not resumed
        self._form(now)

    def _waits(self, join: Join) -> bool:
        return self.phase is Phase.RUNNING and self._growth.waits(join)

    def _make_room(self, now: float) -> None:
        """The membership changes and nobody has failed."""
        if self._growth.due(self._roster.seats.values(), now, busy=self._hangs.asking):
            self.failure = None
            self._disband(now, wanted=0, settle=0.0)

    def _join_running(self, who: Who, join: Join, now: float) -> None:
        if who not in self._roster.seats:
            if self._terms.independent:
                self._roster.seats[who] = Seat(join, now, place=join.place, seated=now)
                self._seat_ranks()
                self.revision += 1
            else:
                self._growth.come(who, join, now)
            return
        seat = self._roster.seats[who]
        same = seat.holds(join.incarnation)
        if same and not seat.gone and (self._terms.independent or join.generation < self._number):
            seat.heard = now
            return
        if not seat.gone:
            self._lost(who, exits.POD_REPLACED, "another pod of this name came while the job ran", now)
        if self._terms.independent:
            self._succeed(who, join, now)
        elif self.phase is Phase.FORMING and join.incarnation not in self._roster.retired:
            self._join_forming(who, join, now)

    def _resume(self, number: int, now: float) -> None:
        """A new coordinator has learned that a generation runs. Whom it has not heard of is as good as lost until it
        joins too; all workers of a job have equally many slots, so the ranks are known when one of them is."""
        worker = next((seat.join for seat in self._roster.seats.values() if seat.join.slots), None)
        if worker is None:
            return
        for who, unknown in membership.unknown(self._terms, worker):
            self._roster.seats.setdefault(who, Seat(unknown, now, gone=True))
        self._number = number
        self._form(now)
        new = [who for who, seat in self._roster.seats.items() if not seat.gone and seat.join.generation < number]
        self._pace.returning(rank for who in new for rank in self._ranks_of(who))

    def _form(self, now: float) -> None:
        self._seat_ranks()
        self._roster.former.clear()
        self._growth.formed(now)
        self._pace.restart()
        self._hangs.done(now)
        self.phase, self.failure = Phase.RUNNING, None
        for seat in self._roster.seats.values():
            seat.heard = seat.seated = now
        self.revision += 1

    def _seat_ranks(self) -> None:
        if self._terms.limits and self._terms.independent:
            joins = membership.in_places(self._roster.seats.values())
        else:
            joins = membership.in_order(self._terms, (seat.join for seat in self._roster.seats.values()))
        self.generation = membership.generation(self._number, joins, self.holding.attempt)
        self._holders = membership.holders(self.generation)
        self.finished = membership.finished(self._holders, self._roster.seats)
        self.holding.formed()

    def _succeed(self, who: Who, join: Join, now: float) -> None:
        """An independent member's successor takes its place and its ranks; what was done stays done."""
        if join.slots != self._roster.seats[who].join.slots:
            raise self._stranger(join)
        former = self._roster.seats[who]
        self._roster.seats[who] = Seat(join, now, done=former.done, place=former.place, seated=now)
        self._seat_ranks()
        if not any(seat.gone for seat in self._roster.seats.values()):
            self.failure = None
        self.revision += 1

    def _hear(self, who: Who, seat: Seat, beat: Beat, now: float) -> None:
        seat.heard = now
        seat.left |= beat.state is State.LEFT
        seat.rigid = beat.rigid
        if beat.finished != seat.finished:
            seat.finished = beat.finished
            self.finished = membership.finished(self._holders, self._roster.seats)
        if beat.asks:
            self._growth.asks(now)
        for rank, progress in beat.progress.items():
            if self._holders.get(rank) == who and self._pace.add(rank, progress, now):
                self.holding.steps(beat.incarnation if self._terms.independent else None)
        if beat.state is State.DONE and not seat.done:
            seat.done = True
            self._pace.done(self._ranks_of(who))
            self._hangs.done(now)
        self._hangs.answer(who, beat.stands)
        if self.phase is not Phase.RUNNING:
            return
        if beat.failure is not None and beat.failure != seat.failure and not seat.gone:
            self._failed(who, beat.failure, now)
        elif not self._failures and membership.all_done(self._terms, self._roster.seats):
            self.phase = Phase.DONE
            self.revision += 1

    def _failed(self, who: Who, failure: Failure, now: float) -> None:
        self._roster.seats[who].failure = failure
        if self._terms.independent:
            self._lose(who, failure, now)
            self.failure = failure
            self.revision += 1
            return
        if not self._failures:
            self._reported = now
        self._failures.append(failure)
        self._judge(now)

    def _lost(self, who: Who, reason: str, message: str, now: float) -> None:
        self._failed(who, Failure(*who, exits.COORDINATOR_LOST, reason, message, at=now), now)

    def _find_lost(self, now: float) -> None:
        """Silence alone must last; while connections break, a few beats that did not come are enough."""
        seconds = self._terms.quiet_seconds if self._failures else self._terms.silence_seconds
        for who in self._roster.silent(now, seconds):
            if self.phase is Phase.RUNNING and self._roster.seats[who].failure is None:
                self._lost(who, exits.POD_SILENT, f"the pod has not been heard of for {seconds:g} s", now)

    def _judge(self, now: float) -> None:
        """Ends the generation when the root of its failures is known: either it came of itself, or it looks as if a
        peer's loss had caused it and every other member has been heard since."""
        if not self._failures:
            return
        settled = now >= self._reported + self._terms.settle_seconds and all(
            seat.failure is not None or seat.left or seat.heard >= self._reported
            for seat in self._roster.seats.values()
        )
        if settled or verdict.certain(self._failures):
            self._end(verdict.root(self._failures), now)

    def _end(self, cause: Failure, now: float) -> None:
        self._failures, self.failure = [], cause
        self._hangs.stop()
        self.revision += 1
        if not self._terms.restarts:
            self.phase = Phase.FAILED
            return
        for who, seat in self._roster.seats.items():
            if seat.failure == cause and self.holding.hold(seat, cause, now):
                continue
            if seat.failure is not None and (seat.failure == cause or seat.failure.exit_code == exits.COORDINATOR_LOST):
                self._retire(who, seat.failure)
        left = cause.rank is None and cause.exit_code == exits.TERMINATED
        settle = self._terms.limits.settle_seconds if self._terms.limits and not left else 0.0
        self._disband(now, sum(role == names.ROLE_WORKER for role, _ in self._roster.seats), settle)

    def _disband(self, now: float, wanted: int, settle: float) -> None:
        """`wanted`: workers that are waited for `settle` seconds."""
        self._roster.former = {who: seat for who, seat in self._roster.seats.items() if not seat.gone}
        for seat in self._roster.former.values():
            seat.heard = now
        self._roster.seats = self._growth.ended(now, wanted, settle)
        self._hangs.stop()
        self.phase, self._deadline = Phase.FORMING, now + self._terms.join_seconds
        self.revision += 1

    def _lose(self, who: Who, failure: Failure, now: float) -> None:
        """A member is out of the generation; it may come back to it when it is held."""
        if self.holding.hold(self._roster.seats[who], failure, now):
            self._vacate(who)
        else:
            self._retire(who, failure)

    def _see_to_held(self, now: float) -> None:
        for incarnation, failure in self.holding.ended(now):
            self._roster.give_up(incarnation, failure)
            self.revision += 1
        for join in self.holding.released(now):
            self.join(join, now)
            self.revision += 1

    def _retire(self, who: Who, failure: Failure) -> None:
        self._roster.retired[self._roster.seats[who].join.incarnation] = failure
        self._vacate(who)

    def _vacate(self, who: Who) -> None:
        self._roster.seats[who].gone = True
        self._pace.forget(self._ranks_of(who))

    def _find_hung(self, now: float) -> None:
        if self.phase is not Phase.RUNNING or self._failures:
            return
        asked = self._hangs.asking
        found = self._hangs.look(self._holders, self._roster.seats, now)
        self.revision += self._hangs.asking and not asked
        if found is not None:
            who, reason = self._holders[found.rank], exits.describe(exits.HUNG).reason
            self._failed(who, Failure(*who, exits.HUNG, reason, found.message, at=now, rank=found.rank), now)

    def _ranks_of(self, who: Who) -> list[int]:
        return [rank for rank, holder in self._holders.items() if holder == who]

    def _never_formed(self, now: float) -> None:
        who = ", ".join(self._missing_names())
        message = f"{who} never joined within {self._terms.join_seconds:g} s"
        first, reason = (names.ROLE_WORKER, 0), exits.describe(exits.PEER_MISSING).reason
        self.failure = Failure(*first, exits.PEER_MISSING, reason, message, at=now)
        self.phase = Phase.FAILED
        self.revision += 1

    def _missing_names(self) -> tuple[str, ...]:
        return () if self._terms.limits and self.phase is not Phase.FORMING else self._roster.missing()

    def _of_this_generation(self, beat: Beat) -> None:
        """Raises NotAMember."""
        if beat.generation != self._number:
            raise NotAMember(f"generation {beat.generation} is not the present one, {self._number}")

    def _stranger(self, join: Join) -> NotAMember:
        return NotAMember(membership.stranger(self._terms, join))
