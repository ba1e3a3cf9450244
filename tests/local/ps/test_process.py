"""A server as a process of its own, told by its environment, with views from an agent's endpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.psagent import KEY, agent
from support.psgroup import Board
from trireme_worker.comm import ps
from trireme_worker.comm.ps import settings
from trireme_worker.comm.ps.errors import ParameterServerError


def environment(url: str, folder: Path) -> dict[str, str]:
    token = folder / "token"
    token.write_text("a" * 64)
    return {
        "TRIREME_AGENT_URL": url,
        "TRIREME_AGENT_KEY": KEY,
        "TRIREME_TOKEN_FILE": str(token),
        "TRIREME_POD_IP": "127.0.0.1",
        "TRIREME_SERVER_INDEX": "0",
        "TRIREME_PS_CONSISTENCY": "Bounded",
        "TRIREME_PS_STALENESS": "2",
        "TRIREME_CHECKPOINT_DIRECTORY": str(folder),
        "RANK": "0",
        "WORLD_SIZE": "1",
    }


def test_a_process_serves_saves_and_ends_on_sigterm(
    tmp_path: Path, agent_pyz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with agent(Board(1)) as url:
        variables = environment(url, tmp_path)
        process = subprocess.Popen(
            [sys.executable, "-m", "trireme_worker.comm.ps"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(agent_pyz), **variables},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        try:
            client = ps.init()
            client.register("w", torch.zeros(10))
            client.wait(client.push("w", torch.ones(10)))
            ps.broadcast_parameters({"statistics": torch.ones(3), "count": torch.tensor(5)})
            assert (ps.rank(), ps.size(), client.pull("w").tolist()) == (0, 1, [1] * 10)
            ps.shutdown()
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=30)[1]
        assert process.returncode == 0, said
        assert f"saved {tmp_path}/parameter-server/server-0" in said


FAILS = """
import sys
from trireme_worker.comm.ps import __main__, keeper
def fail(self): raise {error}
keeper.Keeper._settle_all = fail
sys.exit(__main__.main())
"""


@pytest.mark.parametrize("error", ["MemoryError('no room')", "SystemExit(0)"])
def test_a_process_whose_ranges_cannot_be_kept_ends(error: str, tmp_path: Path, agent_pyz: Path) -> None:
    """And saves nothing: the last checkpoint stays."""
    with agent(Board(1)) as url:
        ended = subprocess.run(
            [sys.executable, "-c", FAILS.format(error=error)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(agent_pyz), **environment(url, tmp_path)},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    last = ended.stderr.splitlines()[-1]
    assert (ended.returncode, last) == (1, f"ERROR server 0 cannot go on and ends, another one takes over: {error}")
    assert not (tmp_path / "parameter-server").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TRIREME_SERVER_INDEX", "", "TRIREME_SERVER_INDEX is not set: this runs in a TrainingJob with strategy"),
        ("TRIREME_SERVER_INDEX", "x", "TRIREME_SERVER_INDEX is a whole number, got 'x'"),
        ("TRIREME_PS_CONSISTENCY", "Eventual", "TRIREME_PS_CONSISTENCY is Sync, Bounded or Async, got 'Eventual'"),
        ("TRIREME_TOKEN_FILE", "/nowhere", "the job's token cannot be read"),
    ],
)
def test_a_wrong_environment_is_told(tmp_path: Path, key: str, value: str, message: str) -> None:
    with pytest.raises(ParameterServerError, match=message):
        settings.server({**environment("http://127.0.0.1:1", tmp_path), key: value})


def test_init_comes_first() -> None:
    with pytest.raises(ParameterServerError, match=r"call ps\.init\(\) first"):
        ps.rank()
