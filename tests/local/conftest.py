"""Real agents on loopback addresses, and the proof that they leave nothing behind."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from support.desk import Desk
from trireme.contract import bundle, environ, names, wire
from trireme.contract.environ import PodEnvironment

TOKEN = "t" * 64
WAIT_SECONDS = 60
_jobs = itertools.count(1)


@dataclass(frozen=True)
class Ended:
    code: int
    termination: wire.Termination | None
    stdout: list[str]
    stderr: list[str]


@dataclass
class Pod:
    process: subprocess.Popen[str]
    termination: Path

    def wait(self) -> Ended:
        out, err = self.process.communicate(timeout=WAIT_SECONDS)
        said = wire.read_termination(self.termination.read_text()) if self.termination.exists() else None
        return Ended(self.process.returncode, said, out.splitlines(), err.splitlines())

    def wait_for(self, line: str) -> None:
        """Reads stdout up to a line; the test must not be interested in what came before."""
        assert self.process.stdout is not None
        self._read(self.process.stdout, line)

    def wait_for_output(self, part: str) -> str:
        """The same, up to the first line that contains `part`."""
        assert self.process.stdout is not None
        return self._read(self.process.stdout, part, exact=False)

    def wait_for_agent(self, part: str) -> str:
        """The same for the agent's own lines, on stderr: the first one that contains `part`."""
        assert self.process.stderr is not None
        return self._read(self.process.stderr, part, exact=False)

    def _read(self, stream: IO[str], line: str, *, exact: bool = True) -> str:
        for found in stream:
            text = found.rstrip("\n")
            if text == line or (not exact and line in text):
                return text
        raise AssertionError(f"{line!r} never came: {self.process.communicate(timeout=WAIT_SECONDS)}")


@dataclass
class Job:
    """Pods of one job. Addresses are 127.x.y.z, another x.y for every job of this machine's test runs."""

    folder: Path
    agent: Path
    name: str
    network: str
    pods: list[Pod] = field(default_factory=list)

    @property
    def coordinator(self) -> tuple[str, int]:
        return f"{self.network}.1", names.COORDINATOR_PORT

    def start(
        self,
        command: Sequence[str],
        *,
        replicas: int = 2,
        slots: int = 1,
        servers: int = 0,
        colocated: bool = False,
        indices: Sequence[int] | None = None,
        server_indices: Sequence[int] | None = None,
        life: int = 0,
        token: str = TOKEN,
        join_seconds: int = 30,
        grace_seconds: int = 5,
        restart_scope: str = environ.SCOPE_ALL,
        independent: int = 0,
        hang_seconds: int = 0,
        min_replicas: int = 0,
        max_replicas: int = 0,
        patience: str = "Patience()",
        **variables: str,
    ) -> list[Pod]:
        """Starts the agents of `indices` and `server_indices` (all by default) and returns them.

        `life`: 0 for the first pods, 1 for their successors, and so on.
        """
        started = []
        workers = [("worker", index) for index in (indices if indices is not None else range(replicas))]
        shards = [("server", index) for index in (server_indices if server_indices is not None else range(servers))]
        for role, index in [*workers, *shards]:
            token_file = self.folder / f"token-{role}-{index}"
            token_file.write_text(token)
            serves = role == "server"
            address = index + 1 + serves * max(replicas, max_replicas)
            env = PodEnvironment(
                job=self.name, namespace="default", role=role, index=index, slots=0 if serves else slots,
                shards=int(serves or colocated), replicas=replicas, servers=servers, attempt=life, backend="Horovod",
                coordinator="{}:{}".format(*self.coordinator), token_file=str(token_file), join_seconds=join_seconds,
                grace_seconds=grace_seconds, restart_scope=restart_scope, independent=independent,
                hang_seconds=hang_seconds, pod_ip=f"{self.network}.{address}", pod_uid=f"uid-{role}-{index}-{life}",
                node_name="node", min_replicas=min_replicas, max_replicas=max_replicas,
            )  # fmt: skip
            started.append(self._start(command, env, patience, variables))
        self.pods += started
        return started

    def run(self, command: Sequence[str], **options: object) -> list[Ended]:
        return [pod.wait() for pod in self.start(command, **options)]  # type: ignore[arg-type]

    def processes(self) -> list[int]:
        """Every live process that has this job in its environment, wherever it hides."""
        mark = f"{environ.PREFIX}JOB={self.name}\0".encode()
        return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if mark in _environment(pid)]

    def rank(self, rank: int) -> int:
        """Process id of a rank that runs; what it has started is in its group."""
        return self.process("RANK", rank)

    def shard(self, index: int) -> int:
        """The same of a parameter server's shard."""
        return self.process(environ.SERVER_INDEX, index)

    def process(self, key: str, number: int) -> int:
        own = f"{key}={number}".encode()
        (leader,) = {os.getpgid(pid) for pid in self.processes() if own in _environment(pid).split(b"\0")}
        return leader

    def _start(self, command: Sequence[str], env: PodEnvironment, patience: str, variables: dict[str, str]) -> Pod:
        termination = self.folder / f"termination-{env.role}-{env.index}-{env.attempt}"
        main = f"import sys; sys.path.insert(0, {str(self.agent)!r}); from trireme_worker.agent import Patience; "
        main += f"from trireme_worker.__main__ import main; main(['--', *sys.argv[1:]], {patience})"
        process = subprocess.Popen(
            [sys.executable, "-c", main, *command],
            env={"PATH": os.environ["PATH"], environ.TERMINATION_LOG: str(termination), **env.write(), **variables},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Pod(process, termination)


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="session")
def agent_pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / names.AGENT_FILE
    path.write_bytes(bundle.agent().content)
    return path


@pytest.fixture
def job(tmp_path: Path, agent_pyz: Path) -> Iterator[Job]:
    number, mine = next(_jobs), os.getpid()
    job = Job(tmp_path, agent_pyz, f"job-{mine}-{number}", f"127.{20 + mine % 200}.{number}")
    yield job
    left = job.processes()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    for pod in job.pods:
        pod.process.communicate(timeout=WAIT_SECONDS)
    assert not left, "processes left behind"
    strays = [path.name for path in tmp_path.iterdir() if not path.name.startswith(("token-", "termination-"))]
    assert not strays, "files left behind"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    assert desk.clear() == []
