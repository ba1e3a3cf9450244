"""Who is waited for when a worker's process has ended: the view says, since its agent knows the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import psfire, psgroup
from support.desk import wait_for
from support.psagent import KEY, agent
from support.psgroup import Group, together
from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.consistency import Consistency
from trireme_worker.comm.ps.server import Server
from trireme_worker.comm.ps.slot import Status

Pair = Callable[[Group], tuple[Client, Client]]

SCRIPT = """
import os, signal, sys, torch
import trireme_worker.comm.ps as ps
client = ps.init()
client.register("w", torch.zeros(3))
client.push("w", torch.full((3,), 3.0))
"""
FINALLY = """
try:
    client.wait(1)
    {what}
finally:
    ps.shutdown()
"""


def ended(ending: str, url: str, folder: Path, path: Path) -> int:
    """The exit code of worker 1's script."""
    (folder / "token").write_bytes(psgroup.TOKEN)
    variables = {"TRIREME_AGENT_URL": url, "TRIREME_AGENT_KEY": KEY, "TRIREME_TOKEN_FILE": str(folder / "token"),
                 "RANK": "1", "WORLD_SIZE": "2", "PYTHONPATH": str(path)}  # fmt: skip
    command = [sys.executable, "-c", SCRIPT + ending]
    return subprocess.run(command, env={"PATH": os.environ["PATH"], **variables}, timeout=60, check=False).returncode


def waited_for(group: Group) -> list[list[int]]:
    """The members of each range's clock."""
    slots = [slot for server in group.servers.values() for slot in server.shard.slots.values()]
    return [sorted(slot.clock.members) for slot in slots]


@pytest.mark.parametrize(
    ("ending", "code", "members"),
    [
        pytest.param("ps.shutdown()", 0, [0], id="after shutdown"),
        pytest.param("", 0, [0, 1], id="at its end"),
        pytest.param("sys.exit(1)", 1, [0, 1], id="by sys.exit(1)"),
        pytest.param(FINALLY.format(what="sys.exit(1)"), 1, [0, 1], id="by sys.exit(1) with shutdown in a finally"),
        pytest.param(
            FINALLY.format(what="raise ValueError"), 1, [0, 1], id="by an exception with shutdown in a finally"
        ),
        pytest.param(
            "client.wait(1); os.fork() or sys.exit(0); os.wait(); os._exit(0)", 0, [0, 1], id="a forked child"
        ),
        pytest.param("client.wait(1); raise ValueError", 1, [0, 1], id="by an exception"),
        pytest.param("client.wait(1); os.kill(os.getpid(), signal.SIGTERM)", -15, [0, 1], id="by a signal"),
    ],
)
def test_a_script_that_ends(ending: str, code: int, members: list[int], tmp_path: Path, agent_pyz: Path) -> None:
    """Only `shutdown` is a word of its own. What was pushed counts, whether or not the script waited for it."""
    with psgroup.group() as group, agent(group.board) as url:
        first = group.client(0)
        first.register("w", torch.zeros(3))
        push = first.push("w", torch.ones(3))
        assert ended(ending, url, tmp_path, agent_pyz) == code
        first.wait(push)
        assert waited_for(group) == [members]
        assert first.pull("w").tolist() == [2.0] * 3


def serves(server: Server) -> bool:
    return any(slot.status is Status.PRIMARY for slot in server.shard.slots.values())


def pushed(*clients: Client) -> None:
    together(*(lambda client=client: client.wait(client.push("w", torch.ones(3))) for client in clients))


@pytest.fixture
def pair() -> Pair:
    """Makes two workers with a table, which each of them has pushed once."""

    def made(group: Group) -> tuple[Client, Client]:
        clients = group.client(0), group.client(1)
        for client in clients:
            client.register("w", torch.zeros(3), reduction="sum")
        pushed(*clients)
        return clients

    return made


@pytest.mark.parametrize(("rule", "ahead"), [("Sync", 0), ("Bounded:1", 1)])
def test_the_others_go_on_when_the_view_says_that_a_worker_has_finished(rule: str, ahead: int, pair: Pair) -> None:
    with psgroup.group(rule=Consistency.parse(rule), leave_seconds=60) as group:
        first, _ = pair(group)
        out = torch.empty(3)
        for _ in range(ahead):
            first.wait(first.push_pull("w", torch.ones(3), out))
        timestamp = first.push_pull("w", torch.ones(3), out)
        assert not first.wait(timestamp, 0.2)
        group.board.finish(1)
        assert first.wait(timestamp, 5)
        assert out.tolist() == [2.0 + ahead + 1] * 3


def test_no_view_of_the_servers_changes_when_a_worker_finishes(pair: Pair) -> None:
    with psgroup.group() as group:
        first, _ = pair(group)
        group.board.finish(1)
        pushed(first)
        assert group.servers[0].shard.view == 1


def test_a_finished_worker_that_runs_again_is_a_member_again(pair: Pair) -> None:
    """Its pod was lost for another rank's failure."""
    with psgroup.group() as group:
        first, second = pair(group)
        second.close()
        group.board.finish(1)
        pushed(first)
        group.board.finish()
        wait_for(lambda: not group.servers[0].shard.finished)
        again = group.client(1)
        again.register("w", torch.zeros(3), reduction="sum")
        assert waited_for(group) == [[0, 1]]
        pushed(first, again)
        assert first.pull("w").tolist() == [5.0] * 3


def test_what_a_finished_worker_sent_before_makes_it_no_member(pair: Pair) -> None:
    with psgroup.group() as group:
        first, second = pair(group)
        group.board.finish(1)
        pushed(first)
        late = second.push("w", torch.ones(3))
        assert not second.wait(late, 0.3)
        assert waited_for(group) == [[0]]
        pushed(first)


@pytest.mark.parametrize("what", ["checkpoint", "backup", "a new server"])
def test_what_is_left_by_a_lost_server_waits_for_no_finished_worker(what: str, tmp_path: Path, pair: Pair) -> None:
    """Its copy of the range is of a time when the worker was still a member."""
    options = {"checkpoints": tmp_path} if what == "checkpoint" else {"backups": 1}
    with psgroup.group(servers=1 if what == "checkpoint" else 2, **options) as group:
        first, _ = pair(group)
        if what == "checkpoint":
            first.checkpoint()
        assert psfire.settled(group)
        group.board.finish(1)
        wait_for(lambda: all(server.shard.finished for server in group.servers.values()))
        (lost,) = [index for index, server in group.servers.items() if serves(server)]
        group.kill(lost)
        if what != "backup":
            group.serve(lost)
        pushed(first)
        assert first.pull("w").tolist() == [3.0] * 3


@pytest.mark.parametrize("servers", [1, 2])
def test_a_table_that_is_made_later_waits_for_no_finished_worker(servers: int, pair: Pair) -> None:
    """On a server that has seen the worker, and on one that came afterwards and has no checkpoint."""
    with psgroup.group() as group:
        first, _ = pair(group)
        group.board.finish(1)
        if servers == 2:
            group.serve(1)
            assert psfire.settled(group)
        first.register("later", torch.zeros(2_000_000))
        first.wait(first.push("later", torch.ones(2_000_000)))
        first.barrier()


def test_who_said_goodbye_is_no_member_of_what_a_lost_server_left(tmp_path: Path, pair: Pair) -> None:
    """Its process may live on for as long as it likes."""
    with psgroup.group(checkpoints=tmp_path) as group:
        first, second = pair(group)
        (saved,) = map(Path, first.checkpoint())
        before = saved.stat().st_mtime_ns
        second.shutdown()
        wait_for(lambda: saved.stat().st_mtime_ns != before)
        group.kill(0)
        successor = group.serve(0)
        pushed(first)
        (slot,) = successor.shard.slots.values()
        assert slot.clock.members == (0,)
