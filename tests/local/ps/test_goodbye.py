"""Who ends without `shutdown`: it has said goodbye, unless an exception or a signal ended it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import psgroup
from support.desk import wait_for
from support.psagent import KEY, agent

SCRIPT = """
import os, signal, sys, torch
import trireme_worker.comm.ps as ps
client = ps.init()
client.register("w", torch.zeros(3))
client.wait(client.push("w", torch.ones(3)))
"""


@pytest.mark.parametrize(
    ("ending", "code", "waited_for"),
    [
        pytest.param("", 0, [0], id="to its end"),
        pytest.param("sys.exit(0)", 0, [0], id="by sys.exit"),
        pytest.param("os.fork() or sys.exit(0); os.wait(); os._exit(0)", 0, [0, 1], id="a forked child alone"),
        pytest.param("raise ValueError", 1, [0, 1], id="by an exception"),
        pytest.param("os.kill(os.getpid(), signal.SIGTERM)", -15, [0, 1], id="by a signal"),
    ],
)
def test_a_script_that_ends(ending: str, code: int, waited_for: list[int], tmp_path: Path, agent_pyz: Path) -> None:
    token = tmp_path / "token"
    token.write_bytes(psgroup.TOKEN)
    with psgroup.group() as group, agent(group.board) as url:
        first = group.client(0)
        first.register("w", torch.zeros(3))
        push = first.push("w", torch.ones(3))
        variables = {"TRIREME_AGENT_URL": url, "TRIREME_AGENT_KEY": KEY, "TRIREME_TOKEN_FILE": str(token),
                     "RANK": "1", "WORLD_SIZE": "2", "PYTHONPATH": str(agent_pyz)}  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT + ending],
            env={"PATH": os.environ["PATH"], **variables},
            stderr=subprocess.PIPE,
            timeout=60,
        )
        assert ended.returncode == code, ended.stderr
        first.wait(push)
        (slot,) = group.servers[0].shard.slots.values()
        assert sorted(slot.clock.members) == waited_for


def test_who_said_goodbye_is_no_member_of_what_a_lost_server_left(tmp_path: Path) -> None:
    with psgroup.group(checkpoints=tmp_path) as group:
        first, second = group.client(0), group.client(1)
        for client in (first, second):
            client.register("w", torch.zeros(3))
        for push in [(client, client.push("w", torch.ones(3))) for client in (first, second)]:
            push[0].wait(push[1])
        (saved,) = map(Path, first.checkpoint())
        before = saved.stat().st_mtime_ns
        second.shutdown()
        wait_for(lambda: saved.stat().st_mtime_ns != before)
        group.kill(0)
        successor = group.serve(0)
        first.wait(first.push("w", torch.ones(3)))
        (slot,) = successor.shard.slots.values()
        assert slot.clock.members == (0,)
