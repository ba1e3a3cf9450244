"""Checkpoints that a server writes by itself, on disks that are slow or full."""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import psgroup
from support.desk import wait_for
from support.psgroup import HELD_SECONDS, TOKEN, Group
from trireme.contract import wire
from trireme.contract.wire import Serving, View
from trireme_worker.comm.ps import saver, server
from trireme_worker.comm.ps.checkpoint import Checkpoints
from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.greeting import Caller
from trireme_worker.comm.ps.server import Settings
from trireme_worker.comm.ps.slot import Slot, Status
from trireme_worker.comm.ps.view import Placement
from trireme_worker.views import Views

WAIT_SECONDS = 20


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saver, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(server, "TICK_SECONDS", 0.01)


class Disk:
    """Lets a save begin and end as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.free = threading.Semaphore(0), threading.Semaphore(0)
        whole = Checkpoints.save

        def save(checkpoints: Checkpoints, slots: Sequence[Slot]) -> Path:
            self.begun.release()
            assert self.free.acquire(timeout=WAIT_SECONDS)
            return whole(checkpoints, slots)

        monkeypatch.setattr(Checkpoints, "save", save)

    def begins(self) -> bool:
        return self.begun.acquire(timeout=WAIT_SECONDS)


class Coordinator:
    """A Directory that drops who is silent, with a clock of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._views = Views(1)
        self._now = 0.0
        self._heard = 0

    def announce(self, serving: Serving) -> View:
        with self._changed:
            self._views.serve(serving, self._now)
            self._heard += 1
            self._changed.notify_all()
            return self._views.view

    def view(self, after: int, finished: int | None = None) -> View:
        with self._changed:
            self._changed.wait_for(lambda: self._views.view.number > after, HELD_SECONDS)
            return self._views.view

    def pass_second(self) -> View:
        """A second in which the server has time for its word."""
        with self._changed:
            before = self._heard
            self._changed.wait_for(lambda: self._heard > before, 1)
            self._now += 1
            self._views.tick(self._now)
            return self._views.view


def test_a_save_that_takes_longer_than_a_server_may_be_silent_changes_no_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, coordinator = Disk(monkeypatch), Coordinator()
    group = Group(Settings(0, TOKEN, checkpoints=tmp_path, checkpoint_seconds=0), coordinator, 1)  # type: ignore[arg-type]
    serving = group.serve(0).serving
    try:
        assert disk.begins()
        views = [coordinator.pass_second() for _ in range(2 * int(wire.SERVING_SILENCE_SECONDS))]
        assert views == [View(1, 1, (serving,))] * len(views)
    finally:
        disk.free.release(1000)
        group.close()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device"),
            "the checkpoint could not be written: [Errno 28] No space left on device",
            id="a full disk",
        ),
        pytest.param(MemoryError(), "the checkpoint could not be written", id="no memory"),
    ],
)
def test_a_save_that_fails_is_told_and_made_again(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = iter([error, error])
    whole = Checkpoints.save

    def save(checkpoints: Checkpoints, slots: Sequence[Slot]) -> Path:
        if (next_error := next(tries, None)) is not None:
            raise next_error
        return whole(checkpoints, slots)

    monkeypatch.setattr(Checkpoints, "save", save)
    with psgroup.group(checkpoints=tmp_path, checkpoint_seconds=0):
        wait_for((tmp_path / "parameter-server" / "server-0").exists)
    assert [record.getMessage() for record in caplog.records if record.name == saver.__name__] == [said] * 2


def test_who_says_goodbye_during_a_save_is_saved_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    with psgroup.group(checkpoints=tmp_path, checkpoint_seconds=1000) as group:
        group.servers[0].bye(Caller("worker", 0, "session", 2))
        assert disk.begins()
        group.servers[0].bye(Caller("worker", 1, "session", 2))
        disk.free.release()
        assert disk.begins()
        disk.free.release()


def test_the_last_save_comes_after_the_one_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on SIGTERM; when the server is closed, nothing is saved any more."""
    disk = Disk(monkeypatch)
    with psgroup.group(checkpoints=tmp_path, checkpoint_seconds=1000) as group:
        group.servers[0].bye(Caller("worker", 0, "session", 2))
        assert disk.begins()
        disk.free.release(2)
        assert Path(group.servers[0].checkpoint()).exists()
        assert disk.begins()
        group.kill(0)
        assert "ps-save" not in [thread.name for thread in threading.enumerate()]


def test_a_worker_that_asked_for_a_save_is_served_during_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save may take longer than a connection may be silent."""
    disk = Disk(monkeypatch)
    with psgroup.group(workers=1, checkpoints=tmp_path, checkpoint_seconds=1000) as group:
        client = group.client(0)
        client.register("w", torch.ones(2))
        (channel,) = client._connections.alive()
        saving = threading.Thread(target=lambda: paths.extend(client.checkpoint()))
        paths: list[str] = []
        saving.start()
        try:
            assert disk.begins()
            assert channel.ask(Header(Kind.PING), seconds=WAIT_SECONDS).header.kind is Kind.DONE
            assert client.pull("w").tolist() == [1, 1]
            assert saving.is_alive()
        finally:
            disk.free.release()
            saving.join(WAIT_SECONDS)
        assert paths == [str(tmp_path / "parameter-server" / "server-0")]


def test_each_who_asks_during_a_save_has_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    heard: queue.SimpleQueue[object] = queue.SimpleQueue()
    with psgroup.group(checkpoints=tmp_path, checkpoint_seconds=1000) as group:
        group.servers[0].ask_checkpoint(heard.put)
        assert disk.begins()
        for _ in range(2):
            group.servers[0].ask_checkpoint(heard.put)
        disk.free.release()
        path = heard.get(timeout=WAIT_SECONDS)
        assert disk.begins()
        assert heard.empty()
        disk.free.release()
        assert [heard.get(timeout=WAIT_SECONDS) for _ in range(2)] == [path] * 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (MemoryError("no room"), "no room"),
    ],
    ids=["a full disk", "no memory"],
)
def test_who_asked_for_a_save_hears_that_it_failed(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(checkpoints: Checkpoints, slots: Sequence[Slot]) -> Path:
        raise error

    monkeypatch.setattr(Checkpoints, "save", save)
    with (
        psgroup.group(workers=1, checkpoints=tmp_path, checkpoint_seconds=1000) as group,
        pytest.raises(ParameterServerError, match=f"the checkpoint could not be written: .*{said}"),
    ):
        group.client(0).checkpoint()


def test_a_save_before_any_worker_has_registered_loses_nothing(tmp_path: Path) -> None:
    """As of a resumed job: its servers are up long before its workers, and may be told to end meanwhile."""
    for _ in range(2):
        with psgroup.group(workers=1, checkpoints=tmp_path) as group:
            group.servers[0].checkpoint()
            client = group.client(0)
            client.register("w", [2], reduction="sum")
            client.wait(client.push("w", torch.ones(2)))
            group.servers[0].checkpoint()
            values = client.pull("w").tolist()
    assert values == [2, 2]


def test_ranges_are_saved_while_a_view_moves_them(tmp_path: Path) -> None:
    """As when a group is told to end: the first server that has ended makes a new view for the others."""
    with psgroup.group(workers=1, checkpoints=tmp_path) as group:
        client = group.client(0)
        client.register("w", [2], reduction="sum")
        client.wait(client.push("w", torch.ones(2)))
        server = group.servers[0]
        silent = replace(server.serving, index=1, incarnation="silent", port=1, socket="@nobody")
        server.keeper.offer(Placement(View(99, 2, (server.serving, silent)), 0))
        wait_for(lambda: [slot.status for slot in server.shard.slots.values()] == [Status.FROZEN])
        server.checkpoint()
    with psgroup.group(workers=1, checkpoints=tmp_path) as group:
        client = group.client(0)
        client.register("w", [2], reduction="sum")
        assert (client.pull("w").tolist(), client.pushes("w")) == ([1, 1], 1)
