"""Candidates on a lease in memory, on a clock that jumps: hours of elections, always the same."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.warp import clock, warped
from trireme.cluster import backoff, leader
from trireme.cluster.errors import ApiError, Fenced, Unreachable
from trireme.cluster.fence import Fence
from trireme.cluster.leader import Elector
from trireme.cluster.lease import Terms
from trireme.cluster.resources import Resource

Object = dict[str, Any]
TRAVEL = 0.01
"""Seconds that a request takes."""


class Server:
    """One lease, and the log of who held it."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.version = 0

    def write(self, spec: Object) -> Object:
        self.version += 1
        old = self.lease["spec"] if self.lease else {}
        self.lease = {"metadata": {"resourceVersion": str(self.version)}, "spec": {**old, **spec}}
        return self.lease


@dataclass
class Link:
    """A candidate's client; it may lose its connection, or only the answers."""

    server: Server
    fault: str = ""

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        await self._travel()
        if self.server.lease is None:
            raise ApiError("GET", 404, "NotFound", "no lease")
        return self.server.lease

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        await self._travel()
        if self.server.lease is not None:
            raise ApiError("POST", 409, "AlreadyExists", "it is there")
        return await self._answer(self.server.write(body["spec"]))

    async def patch(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        await self._travel()
        if self.server.lease is None:
            raise ApiError("PATCH", 404, "NotFound", "no lease")
        if self.server.lease["metadata"] != body["metadata"]:
            raise ApiError("PATCH", 409, "Conflict", "another version")
        return await self._answer(self.server.write(body["spec"]))

    async def _travel(self) -> None:
        await asyncio.sleep(TRAVEL)
        if self.fault == "refused":
            raise Unreachable("lease", "connection refused")
        if self.fault == "silent":
            await asyncio.Event().wait()

    async def _answer(self, lease: Object) -> Object:
        if self.fault == "answers lost":
            await asyncio.Event().wait()
        return lease


@dataclass
class Candidate:
    name: str
    server: Server
    diary: list[tuple[str, str, float]]
    fence: Fence = field(default_factory=Fence)

    def __post_init__(self) -> None:
        self.link = Link(self.server)
        self.elector = Elector(self.link, self.fence, "default", "trireme", Terms(), self.name)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.elector.run(self.work))

    async def work(self) -> None:
        self.diary.append((self.name, "leads", clock()))
        try:
            await asyncio.Event().wait()
        finally:
            self.diary.append((self.name, "stops", clock()))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


class Election:
    """Two candidates; the first one leads when it begins."""

    async def __aenter__(self) -> Election:
        self.server = Server()
        self.diary: list[tuple[str, str, float]] = []
        self.first = Candidate("first", self.server, self.diary)
        await asyncio.sleep(1)
        self.second = Candidate("second", self.server, self.diary)
        await asyncio.sleep(19)  # 20 s: renewed at every even second, plus what the requests took
        assert self.diary == [("first", "leads", 2 * TRAVEL)]
        self.diary.clear()
        return self

    def changes(self) -> list[str]:
        return [f"{name} {what}" for name, what, _ in self.diary]

    async def __aexit__(self, *_: object) -> None:
        await self.first.stop()
        await self.second.stop()


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest pauses: the worst case."""
    monkeypatch.setattr(backoff.random, "uniform", lambda low, high: high)


@pytest.mark.parametrize("fault", ["refused", "silent"])
def test_a_leader_that_is_cut_off_stops_before_another_begins(fault: str) -> None:
    async def main() -> None:
        async with Election() as election:
            election.first.link.fault = fault
            await asyncio.sleep(40)
            assert election.changes() == ["first stops", "second leads"]
            (_, _, end), (_, _, begin) = election.diary
            assert end <= 20 + 10 < begin <= 20 + 15 + 2 + 0.1
            election.diary.clear()
            election.first.link.fault = ""
            await asyncio.sleep(40)
            assert election.diary == []
            assert election.server.lease is not None
            assert election.server.lease["spec"]["leaseTransitions"] == 1

    warped(main())


def test_a_short_interruption_changes_nothing() -> None:
    async def main() -> None:
        async with Election() as election:
            for fault in ("refused", "silent", "answers lost"):
                election.first.link.fault = fault
                await asyncio.sleep(4)
                election.first.link.fault = ""
                await asyncio.sleep(20)
            assert election.diary == []

    warped(main())


def test_both_cut_off_the_leader_stops_and_leads_again() -> None:
    async def main() -> None:
        async with Election() as election:
            election.first.link.fault = election.second.link.fault = "refused"
            await asyncio.sleep(12)
            election.first.link.fault = ""
            await asyncio.sleep(20)
            assert election.changes() == ["first stops", "first leads"]

    warped(main())


def test_a_leader_that_is_told_to_stop_hands_over_at_once() -> None:
    async def main() -> None:
        async with Election() as election:
            await election.first.stop()
            await asyncio.sleep(10)
            assert election.changes() == ["first stops", "second leads"]
            (_, _, end), (_, _, begin) = election.diary
            assert end < begin < 20 + 2.1

    warped(main())


def test_told_to_stop_while_an_answer_is_lost_it_still_hands_over() -> None:
    async def main() -> None:
        async with Election() as election:
            election.first.link.fault = "answers lost"
            await asyncio.sleep(3)
            election.first.link.fault = ""
            await election.first.stop()
            await asyncio.sleep(10)
            assert election.changes() == ["first stops", "second leads"]

    warped(main())


def test_a_standby_that_stops_writes_nothing() -> None:
    async def main() -> None:
        async with Election() as election:
            election.second.link.fault = "refused"
            await election.second.stop()
            assert election.diary == []
            assert election.server.lease is not None
            assert election.server.lease["spec"]["holderIdentity"] == "first"

    warped(main())


def test_a_lease_that_is_deleted_is_not_taken_at_once() -> None:
    async def main() -> None:
        async with Election() as election:
            election.server.lease = None
            await asyncio.sleep(40)
            held = 0
            for _, what, _ in election.diary:
                held += {"leads": 1, "stops": -1}[what]
                assert held in (-1, 0)  # one at most: it began with the first one leading
            assert election.diary[-1][1] == "leads"

    warped(main())


def test_a_lease_that_somebody_gave_to_another_is_left() -> None:
    async def main() -> None:
        async with Election() as election:
            election.server.write({"holderIdentity": "somebody"})
            await asyncio.sleep(3)
            assert election.changes() == ["first stops"]
            assert not election.first.fence.open

    warped(main())


def test_of_many_that_begin_at_once_one_leads() -> None:
    async def main() -> None:
        server, diary = Server(), list[tuple[str, str, float]]()
        candidates = [Candidate(f"c{number}", server, diary) for number in range(10)]
        await asyncio.sleep(60)
        assert len(diary) == 1
        for candidate in candidates:
            await candidate.stop()

    warped(main())


def test_no_write_begins_or_goes_on_when_the_leader_has_stopped() -> None:
    async def main() -> None:
        async with Election() as election:
            fence = election.first.fence

            async def slow() -> str:
                try:
                    async with fence.crossing():
                        await asyncio.sleep(60)
                except Fenced:
                    return f"cut off at {clock():.0f}"
                return "done"

            under_way = asyncio.create_task(slow())
            await asyncio.sleep(5)
            assert not under_way.done()
            election.first.link.fault = "silent"
            await asyncio.sleep(11)
            assert await under_way == "cut off at 34"
            assert await slow() == "cut off at 36"

    warped(main())


def test_work_that_fails_ends_the_election_and_frees_the_lease() -> None:
    async def main() -> None:
        server = Server()

        async def work() -> None:
            await asyncio.sleep(30)
            raise RuntimeError("a bug")

        elector = Elector(Link(server), Fence(), "default", "trireme", Terms(), "we")  # type: ignore[arg-type]
        with pytest.raises(ExceptionGroup) as failure:
            await elector.run(work)
        assert failure.group_contains(RuntimeError, match="a bug")
        assert server.lease is not None
        assert server.lease["spec"]["holderIdentity"] is None

    warped(main())


def test_why_there_is_no_leader_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        candidate = Candidate("we", Server(), [])
        candidate.link.fault = "refused"
        await asyncio.sleep(5)
        await candidate.stop()

    with caplog.at_level(logging.WARNING):
        warped(main())
    assert {record.getMessage() for record in caplog.records} == {
        "lease not claimed lease=default/trireme error=Unreachable('lease: connection refused')"
    }


def test_each_process_is_somebody_else() -> None:
    assert leader.new_identity() != leader.new_identity()
