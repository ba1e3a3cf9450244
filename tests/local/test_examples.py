"""Each example runs to its end in real processes, for each backend, with one and with several processes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from trireme.contract.environ import Meeting, process_environment
from trireme.contract.ranks import places

ROOT = Path(__file__).parents[2]
EXAMPLES = "trireme_worker.examples"
BREAK_BROADCAST = f"""
import sys, torch.distributed
torch.distributed.broadcast = lambda *args, **kwargs: None
from {EXAMPLES} import collectives
sys.exit(collectives.main(["--backend", "torch"]))
"""


@dataclass(frozen=True)
class Ended:
    """One rank's process."""

    code: int
    out: str
    err: str


Launch = Callable[..., list[Ended]]


class Store(BaseHTTPRequestHandler):
    """The key-value store of Horovod's gloo rendezvous; `values` belongs to the server."""

    def do_PUT(self) -> None:
        self.server.values[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200)

    def do_GET(self) -> None:
        value = self.server.values.get(self.path)
        self.answer(404 if value is None else 200, value or b"")

    def do_DELETE(self) -> None:
        self.server.values.pop(self.path, None)
        self.answer(200)

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def rendezvous() -> Iterator[tuple[str, int]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        server.values = {}
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield "127.0.0.1", server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def launch(rendezvous: tuple[str, int]) -> Iterator[Launch]:
    """`launch(slots, *arguments)`: Python with these arguments once per slot, until all have ended; by rank."""
    started: list[subprocess.Popen[str]] = []

    def start(slots: Sequence[int], *arguments: str) -> list[Ended]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            master = free.getsockname()
        path = os.pathsep.join(str(ROOT / folder) for folder in ("operator", "images/worker"))
        path = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
        for number, member in enumerate(places(slots)):
            meeting = Meeting(1, f"worker-{number}", "lo", rendezvous, master)
            for place in member:
                environ = {**os.environ, "PYTHONPATH": path, **process_environment(place, meeting)}
                command = [sys.executable, *arguments]
                pipe = subprocess.PIPE
                started.append(subprocess.Popen(command, env=environ, stdout=pipe, stderr=pipe, text=True))
        outputs = [process.communicate(timeout=100) for process in started]
        return [Ended(process.returncode, *output) for process, output in zip(started, outputs, strict=True)]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("slots", [(1,), (1, 1)], ids=str)
@pytest.mark.parametrize("example", ["digits_horovod", "digits_torch"])
def test_digits_are_learned(launch: Launch, example: str, slots: Sequence[int]) -> None:
    ranks = launch(slots, "-m", f"{EXAMPLES}.{example}")
    assert [rank.code for rank in ranks] == [0] * len(ranks), ranks
    verdict = re.fullmatch(r"trained in \d+\.\d s, test accuracy (0\.\d{4}|1\.0000)\n", ranks[0].out)
    assert verdict, ranks[0].out
    assert float(verdict[1]) >= 0.95
    assert [rank.out for rank in ranks[1:]] == [""] * (len(ranks) - 1)


def test_a_model_that_has_not_learned_fails(launch: Launch) -> None:
    (rank,) = launch([1], "-m", f"{EXAMPLES}.digits_torch", "--epochs", "1", "--lr", "1e-9")
    assert rank.code == 1
    assert re.search(r"^test accuracy 0\.\d{4} is below 0\.95: the model has not learned$", rank.err, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--epochs", "0"], "argument --epochs: must be greater than 0, got 0"),
        (["--batch-size", "many"], "argument --batch-size: invalid int value: 'many'"),
        (["--lr", "nan"], "argument --lr: must be greater than 0, got nan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_digits_refuse_arguments_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    from trireme_worker.examples import digits

    with pytest.raises(SystemExit, match="2"):
        digits.arguments(arguments)
    assert capsys.readouterr().err.endswith(f"error: {complaint}\n")


@pytest.mark.parametrize("slots", [(1,), (1, 1), (1, 3)], ids=str)
@pytest.mark.parametrize("backend", ["horovod", "torch"])
def test_every_collective_gives_its_closed_form(launch: Launch, backend: str, slots: Sequence[int]) -> None:
    ranks = launch(slots, "-m", f"{EXAMPLES}.collectives", "--backend", backend)
    assert [rank.code for rank in ranks] == [0] * len(ranks), ranks
    head, *rows, summary = ranks[0].out.splitlines()
    assert head.split() == ["op", "group", "dtype", "elements", "ok"]
    assert {row.split()[-1] for row in rows} == {"yes"}
    checks = 26 if len(ranks) == 1 else 2 * 26  # a rank is in the whole job and, unless alone, in one process set
    assert (len(rows), summary) == (checks, f"{checks} of {checks} checks passed on rank 0")


def test_a_broken_collective_is_named_by_every_rank_that_it_hits(launch: Launch) -> None:
    ranks = launch([1, 1], "-c", BREAK_BROADCAST)
    assert [rank.code for rank in ranks] == [1, 1], ranks
    told = "broadcast, every root int64 in group all: {} (1000 of 1000 elements differ)"
    assert told.format("rank 0: tensor 1[0]: expected 2, got 1") in ranks[0].err.splitlines()
    assert told.format("rank 1: tensor 0[0]: expected 1, got 2") in ranks[1].err.splitlines()
    assert ranks[0].out.splitlines()[-1] == "51 of 52 checks passed on rank 0"
