"""Servers and workers that come and go."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import torch
from support import psfire, psgroup
from support.psgroup import Group, together
from trireme_worker.comm.ps import copies
from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.consistency import Consistency
from trireme_worker.comm.ps.copies import Copy
from trireme_worker.comm.ps.errors import ParameterServerError, Reason, Refused
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.shard import Shard
from trireme_worker.comm.ps.slot import Slot, Status
from trireme_worker.comm.ps.view import Watch

LENGTH = 2_000_000
"""Elements: four ranges."""
ASYNC = Consistency.parse("Async")


def pushed(client: Client, times: int) -> Client:
    client.register("w", [LENGTH], reduction="sum")
    for _ in range(times):
        client.wait(client.push("w", torch.ones(LENGTH)))
    return client


def counted(client: Client) -> list[float]:
    return sorted(set(client.pull("w").tolist()))


def held(group: Group) -> dict[int, dict[Status, int]]:
    """Ranges of each server, by what it is for them."""
    return {
        index: {
            status: sum(slot.status is status for slot in server.shard.slots.values())
            for status in (Status.PRIMARY, Status.BACKUP)
        }
        for index, server in group.servers.items()
    }


def test_a_backup_takes_over_and_gets_a_backup_of_its_own() -> None:
    with psgroup.group(servers=3, workers=1, backups=1) as group:
        client = pushed(group.client(0), 2)
        for victim in (1, 0):
            assert psfire.settled(group)
            group.kill(victim)
            client.wait(client.push("w", torch.ones(LENGTH)))
        assert counted(client) == [4]
        assert held(group) == {2: {Status.PRIMARY: 4, Status.BACKUP: 0}}


def test_a_server_that_joins_gets_its_share_and_the_others_keep_theirs() -> None:
    with psgroup.group(servers=1, workers=1) as group:
        client = pushed(group.client(0), 2)
        group.serve(1)
        assert psfire.settled(group)
        client.wait(client.push("w", torch.ones(LENGTH)))
        assert counted(client) == [3]
        assert held(group) == {index: {Status.PRIMARY: 2, Status.BACKUP: 0} for index in (0, 1)}
        assert sum(len(server.shard.slots) for server in group.servers.values()) == 4


def test_without_a_backup_the_last_checkpoint_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with psgroup.group(servers=2, workers=1, checkpoints=tmp_path) as group:
        client = pushed(group.client(0), 2)
        assert [Path(path).name for path in client.checkpoint()] == ["server-0", "server-1"]
        client.wait(client.push("w", torch.ones(LENGTH)))
        group.kill(0)
        client.wait(client.push("w", torch.ones(LENGTH)))
        assert counted(client) == [3, 4]
    assert "went back from push 3 to 2" in caplog.text


@pytest.mark.parametrize("backups", [0, 1])
def test_a_server_that_is_told_to_end_takes_no_acknowledged_push_along(backups: int, tmp_path: Path) -> None:
    """Its last save takes a while; what comes meanwhile is for its successors."""
    with psgroup.group(servers=2, workers=1, backups=backups, checkpoints=tmp_path) as group:
        client = pushed(group.client(0), 2)
        group.servers[0].last_checkpoint()
        timestamp = client.push("w", torch.ones(LENGTH))
        assert not client.wait(timestamp, 0.3)
        group.kill(0)
        client.wait(timestamp)
        assert (counted(client), client.pushes("w")) == ([3], 3)


def test_pulls_do_not_wait_for_pushes_that_were_lost(tmp_path: Path) -> None:
    out = torch.empty(LENGTH)
    with psgroup.group(servers=1, workers=1, checkpoints=tmp_path) as group:
        client = pushed(group.client(0), 2)
        client.checkpoint()
        client.wait(client.push("w", torch.ones(LENGTH)))
        group.kill(0)
        group.serve(0)
        assert counted(client) == [2]
        client.wait(client.push("w", torch.ones(LENGTH)))
        group.kill(0)
        timestamps = [client.push("w", torch.ones(LENGTH)), client.start_pull("w", out)]
        group.serve(0)
        assert [client.wait(timestamp, 30) for timestamp in timestamps] == [True, True]
        assert (out.min(), out.max(), client.pushes("w")) == (3, 3, 3)


def test_a_whole_new_group_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    with psgroup.group(servers=2, workers=1, checkpoints=tmp_path) as group:
        pushed(group.client(0), 2).checkpoint()
    with psgroup.group(servers=3, workers=1, checkpoints=tmp_path) as group:
        client = pushed(group.client(0), 1)
        assert (counted(client), client.pushes("w")) == ([3], 3)


def test_a_request_of_another_view_is_refused() -> None:
    with psgroup.group(workers=1) as group:
        client = pushed(group.client(0), 1)
        (channel,) = client._connections.alive()
        number = client._get("w").table.number
        with pytest.raises(Refused, match="this server has view 1") as refused:
            channel.ask(Header(Kind.CLOCK, view=7, table=number))
        assert (refused.value.reason, refused.value.number) == (Reason.WRONG_VIEW, 1)


class Overtaken:
    """A shard's lock that whoever wants it gets after a new view was adopted, in which all ranges froze."""

    def __init__(self, shard: Shard) -> None:
        self._shard, self._lock = shard, shard.lock

    def __enter__(self) -> None:
        self._lock.acquire()
        self._shard.view += 1
        for slot in self._shard.slots.values():
            slot.freeze()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_new_view_keeps_what_a_word_of_the_old_one_would_discard() -> None:
    with psgroup.group(workers=1) as group:
        pushed(group.client(0), 1)
        server = group.servers[0]
        key, *_ = before = list(server.shard.slots)
        link = server.chain.link(server.serving)
        server.shard.lock = Overtaken(server.shard)  # type: ignore[assignment]
        with pytest.raises(Refused, match="this server has view 2"):
            link.ask(Header(Kind.DISCARD, view=1, table=key[0], index=key[1]))
        assert list(server.shard.slots) == before


def test_nobody_joins_a_range_while_its_copy_for_a_backup_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    free: list[bool] = []
    whole = copies.of

    def of(slot: Slot) -> tuple[Copy, list[torch.Tensor]]:
        looking = threading.Thread(target=lambda: free.append(takes(slot)))
        looking.start()
        looking.join()
        return whole(slot)

    def takes(slot: Slot) -> bool:
        """Whether another thread could change the clock."""
        if taken := slot.lock.acquire(blocking=False):
            slot.lock.release()
        return taken

    monkeypatch.setattr(copies, "of", of)
    with psgroup.group(servers=2, workers=1, backups=1) as group:
        pushed(group.client(0), 1)
    assert set(free) == {False}


def test_a_primary_that_was_cut_off_acknowledges_nothing() -> None:
    """It has not heard of the new view, and neither has one of its workers; its backup has."""
    with psgroup.group(servers=2, workers=2, backups=1, rule=ASYNC) as group:
        client, stale = pushed(group.client(0), 1), pushed(group.client(1), 0)
        old, backup = group.servers[0], group.servers[1]
        deaf(old._watch)
        deaf(stale._watch)
        group.board.remove(old.serving)
        while backup.shard.view != group.board.view(-1).number:
            time.sleep(0.01)
        timestamp = stale.push("w", torch.ones(LENGTH))
        client.wait(client.push("w", torch.ones(LENGTH)))
        assert counted(client) == [2]
        assert not stale.wait(timestamp, 0.3)


def deaf(watch: Watch) -> None:
    """Hears of no view any more."""
    watch.close()
    watch._thread.join()
    watch.offer = lambda view: None  # type: ignore[method-assign]


def test_sync_waits_for_the_successor_of_a_lost_worker() -> None:
    with psgroup.group(servers=2, leave_seconds=0.1) as group:
        first, second = group.client(0), group.client(1)
        together(lambda: pushed(first, 2), lambda: pushed(second, 2))
        second.close()
        timestamp = first.push("w", torch.ones(LENGTH))
        assert not first.wait(timestamp, 1.5)
        successor = group.client(1)
        successor.register("w", [LENGTH], reduction="sum")
        assert successor.pushes("w") == 2
        successor.wait(successor.push("w", torch.ones(LENGTH)))
        assert first.wait(timestamp)
        assert counted(first) == [6]


@pytest.mark.parametrize("rule", ["Bounded:1", "Async"])
def test_others_go_on_without_a_lost_worker(rule: str) -> None:
    with psgroup.group(rule=Consistency.parse(rule), leave_seconds=0.1) as group:
        first, second = group.client(0), group.client(1)
        together(lambda: pushed(first, 1), lambda: pushed(second, 1))
        second.close()
        for _ in range(4):
            first.wait(first.push_pull("w", torch.ones(LENGTH), torch.empty(LENGTH)), 30)
        assert counted(first) == [6]
        late = pushed(group.client(1), 1)
        assert counted(late) == [7]


def test_a_goodbye_lets_the_others_go_on() -> None:
    with psgroup.group() as group:
        first, second = group.client(0), group.client(1)
        together(lambda: pushed(first, 1), lambda: pushed(second, 1))
        second.shutdown()
        first.wait(first.push("w", torch.ones(LENGTH)))
        assert counted(first) == [3]


def test_the_predecessor_of_a_worker_is_refused() -> None:
    with psgroup.group(workers=1) as group:
        old = pushed(group.client(0), 1)
        new = pushed(group.client(0), 1)
        with pytest.raises(ParameterServerError, match="worker 0 has a successor; this process must end"):
            old.wait(old.push("w", torch.ones(LENGTH)))
        assert counted(new) == [2]


def test_a_worker_joins_while_the_others_run() -> None:
    with psgroup.group(workers=1, rule=Consistency.parse("Bounded:0")) as group:
        first = pushed(group.client(0), 3)
        second = group.client(1, size=2, generation=1)
        second.register("w", [LENGTH], reduction="sum")
        assert second.pushes("w") == 3
        timestamp = first.push_pull("w", torch.ones(LENGTH), torch.empty(LENGTH))
        assert not first.wait(timestamp, 0.3)
        second.wait(second.push("w", torch.ones(LENGTH)))
        assert first.wait(timestamp)


def test_the_rule_changes_while_the_job_runs() -> None:
    with psgroup.group() as group:
        first, second = group.client(0), group.client(1)
        together(lambda: pushed(first, 1), lambda: pushed(second, 1))
        timestamp = first.push("w", torch.ones(LENGTH))
        assert not first.wait(timestamp, 0.2)
        second.set_consistency("Async")
        assert first.wait(timestamp)
        assert counted(second) == [3]
        group.serve(1)
        assert psfire.settled(group)
        assert [str(server.shard.rule[1]) for server in group.servers.values()] == ["Async", "Async"]


def test_a_new_worker_waits_for_values_until_somebody_gives_them() -> None:
    with psgroup.group() as group:
        second = group.client(1)
        second.register("w", [2])
        out = torch.zeros(2)
        timestamp = second.start_pull("w", out)
        assert not second.wait(timestamp, 0.2)
        group.client(0).register("w", torch.tensor([1.0, 2.0]))
        assert second.wait(timestamp)
        assert out.tolist() == [1, 2]
