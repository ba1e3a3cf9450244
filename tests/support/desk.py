"""A user's desk: `trireme` is typed there, in processes of its own, and what it leaves behind is seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
TRIREME = [sys.executable, "-m", "trireme.cli"]


def _as_at_a_terminal() -> None:
    """Whoever runs the tests, below nohup or in the background: ignored signals are inherited."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@dataclass
class Desk:
    """A user's folder: job files go in, and it knows afterwards what was left behind."""

    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def job(self, *command: str, **worker: Any) -> str:
        """Writes a job whose trainer runs `command`, without restarts unless it says so; returns its path."""
        container = {"name": "trainer", "image": "img", "command": list(command), **worker.pop("container", {})}
        restart = worker.pop("restart", {"limit": 0})
        spec = {"worker": {"template": {"spec": {"containers": [container]}}, **worker}, "restart": restart}
        document = {
            "apiVersion": "trireme.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": "j"},
            "spec": spec,
        }
        path = self.home / "job.json"
        path.write_text(json.dumps(document))
        return str(path)

    def start(self, *arguments: str, through: Sequence[str] = ()) -> subprocess.Popen[str]:
        (self.home / "tmp").mkdir(exist_ok=True)
        source = os.pathsep.join([str(ROOT / "operator"), str(ROOT / "images/worker")])
        environ = {**os.environ, "TMPDIR": str(self.home / "tmp"), "PYTHONPATH": source}
        process = subprocess.Popen(
            [*through, *TRIREME, *arguments],
            cwd=self.home,
            env=environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_as_at_a_terminal,
        )
        self.started.append(process)
        return process

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=100)
        return process.returncode, out, err

    def left_behind(self) -> list[str]:
        files = [str(path) for path in (self.home / "tmp").glob("*")]
        marker = str(self.home)
        processes = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and marker in process.environ().get("TMPDIR", ""):
                    processes.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return files + processes

    def clear(self) -> list[str]:
        """Ends what a test that failed did not end. Returns what was left behind."""
        left = self.left_behind()
        for process in self.started:
            process.kill()
            process.communicate()
        return left


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
