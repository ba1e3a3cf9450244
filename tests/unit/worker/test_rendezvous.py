"""Horovod's store as the ranks of one pod see it; the coordinator is a list of what it is asked."""

from __future__ import annotations

import asyncio

import pytest
from trireme.contract import entries, wire
from trireme_worker import rendezvous as module
from trireme_worker.rendezvous import Rendezvous
from trireme_worker.service import BATCH_SECONDS, batch_seconds

FOLLOW = "GET /v1/store/3/{}?after={}"


class Coordinator:
    """Answers a follower with what the test sends, and everything else with nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._sent: asyncio.Queue[bytes] = asyncio.Queue()

    def send(self, **found: bytes) -> None:
        self._sent.put_nowait(entries.encode(list(found.items())))

    async def ask(
        self, method: str, target: str, body: bytes = b"", *, hold_seconds: float = 0.0, patience_seconds: float
    ) -> bytes:
        self.asked.append(f"{method} {target}")
        return await self._sent.get() if hold_seconds == wire.JOIN_POLL_SECONDS else b""


async def asking(rendezvous: Rendezvous, scope: str, *keys: str) -> list[asyncio.Task[bytes | None]]:
    """Ranks that wait for keys."""
    ranks = [asyncio.ensure_future(rendezvous.get(scope, key)) for key in keys]
    await asyncio.sleep(0)
    return ranks


async def heard(ranks: list[asyncio.Task[bytes | None]]) -> list[bytes | None]:
    return await asyncio.wait_for(asyncio.gather(*ranks), 5)


@pytest.fixture(autouse=True)
def held_for_long(monkeypatch):
    """Whatever is answered is answered for another reason."""
    monkeypatch.setattr(module, "HOLD_SECONDS", 60.0)


async def test_a_question_is_held_until_its_key_comes_and_asked_of_the_coordinator_once():
    coordinator = Coordinator()
    rendezvous = Rendezvous(coordinator, 3, patience_seconds=5)
    first, second, other = await asking(rendezvous, "global", "1", "1", "2")
    coordinator.send(**{"0": b"own", "1": b"one"})
    assert await heard([first, second]) == [b"one", b"one"]
    assert not other.done()
    coordinator.send(**{"2": b"two"})
    assert await heard([other]) == [b"two"]
    assert await rendezvous.get("global", "1") == b"one"
    await asyncio.sleep(0)
    rendezvous.close()
    assert coordinator.asked == [FOLLOW.format("global", position) for position in (0, 2, 3)]


async def test_a_rank_hears_of_another_one_of_its_pod_at_once():
    rendezvous = Rendezvous(Coordinator(), 3, patience_seconds=5)
    ranks = await asking(rendezvous, "local_host", "1")
    await rendezvous.put("local_host", "1", b"one")
    assert await heard(ranks) == [b"one"]


async def test_nobody_is_held_when_the_generation_ends_or_the_scope_is_dropped():
    rendezvous = Rendezvous(Coordinator(), 3, patience_seconds=5)
    dropped = await asking(rendezvous, "global", "1")
    await rendezvous.delete("global")
    ended = await asking(rendezvous, "cross_0", "1", "1", "2")
    rendezvous.close()
    assert await heard([*dropped, *ended]) == [None] * 4


async def test_a_rank_whose_question_was_cut_off_takes_no_answer_from_the_others():
    coordinator = Coordinator()
    rendezvous = Rendezvous(coordinator, 3, patience_seconds=5)
    killed, waiting = await asking(rendezvous, "global", "1", "1")
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    coordinator.send(**{"1": b"one"})
    assert await heard([waiting]) == [b"one"]
    rendezvous.close()


async def test_a_key_that_does_not_come_is_missing_after_a_while_and_may_be_asked_for_again(monkeypatch):
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.0)
    coordinator = Coordinator()
    rendezvous = Rendezvous(coordinator, 3, patience_seconds=5)
    assert await heard(await asking(rendezvous, "global", "1")) == [None]
    monkeypatch.setattr(module, "HOLD_SECONDS", 60.0)
    again = await asking(rendezvous, "global", "1")
    coordinator.send(**{"1": b"one"})
    assert await heard(again) == [b"one"]
    rendezvous.close()


def test_a_burst_is_waited_for_the_longer_the_more_followers_there_are_to_answer():
    assert [batch_seconds(members) for members in (2, 50, 100, 1000)] == [0.0004, 0.01, BATCH_SECONDS, BATCH_SECONDS]
