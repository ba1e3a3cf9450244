#!/usr/bin/env python3
"""What does it cost that a worker's tensors lie on a GPU? JSON on standard output.

    python benchmarks/ps_cuda.py [--mib 64] [--servers 2] [--rounds 9]

One worker with tensors of the CPU and of the GPU in turns, servers in processes of their own, SGD in Sync, by AF_UNIX
and TCP. Beside it the bare copies of as many bytes to pinned memory and back. Needs a GPU, and of packages torch alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "operator"), str(ROOT / "images/worker")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:3])

import torch  # noqa: E402
from ps_peers import ITEM_BYTES, MIB, TCP, UNIX, Cell, Place, trireme_ps  # noqa: E402
from trireme_worker.comm.ps.client import Client, Worker  # noqa: E402

TYPES = {
    "cpu": ("cpu", torch.float32),
    "cuda": ("cuda", torch.float32),
    "cuda, bfloat16 parameters": ("cuda", torch.bfloat16),
}
Step = Callable[[], None]


def main(options: argparse.Namespace) -> dict[str, Any]:
    size = options.mib * MIB
    found = {kind: _through_servers(Cell(size, 1, options.servers, kind), options.rounds) for kind in (UNIX, TCP)}
    return {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "mib": options.mib,
        "servers": options.servers,
        "push_and_pull_ms": found,
        "bare_copies_ms": _median(_copies(size // ITEM_BYTES), options.rounds),
    }


def _through_servers(cell: Cell, rounds: int) -> dict[str, float]:
    """Milliseconds for a push of all and a pull of all, medians."""
    context = get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="ps-") as name:
        places = [Place(cell, index, Path(name)) for index in range(cell.servers)]
        servers = [context.Process(target=_serve, args=(place,), daemon=True) for place in places]
        for server in servers:
            server.start()
        try:
            client = Client(Worker(0, 1, trireme_ps.TOKEN), trireme_ps.Folder(places[0]))
            steps = {label: _step(client, label, cell.size // ITEM_BYTES) for label in TYPES}
            times: dict[str, list[float]] = {label: [] for label in steps}
            for _ in range(rounds):
                for label, step in steps.items():
                    times[label].append(_seconds(step))
            client.shutdown()
        finally:
            for server in servers:
                server.kill()
                server.join()
    return {label: round(1e3 * statistics.median(taken), 2) for label, taken in times.items()}


def _serve(place: Place) -> None:
    trireme_ps.serve(place, lambda _: None)


def _step(client: Client, key: str, elements: int) -> Step:
    device, dtype = TYPES[key]
    values, gradient = (torch.zeros(elements, device=device, dtype=dtype) for _ in range(2))
    client.register(key, [values], function={"name": "sgd", "lr": 1.0})

    def step() -> None:
        client.wait(client.push_pull(key, [gradient], [values]))

    step()
    return step


def _copies(elements: int) -> Step:
    there = torch.zeros(elements, device="cuda")
    here = torch.empty(elements, pin_memory=True)

    def step() -> None:
        here.copy_(there)
        there.copy_(here)

    return step


def _median(step: Step, rounds: int) -> float:
    step()
    return round(1e3 * statistics.median(_seconds(step) for _ in range(rounds)), 2)


def _seconds(step: Step) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=64, help="of float32: parameters, and as much of gradients")
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args(given)


if __name__ == "__main__":
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here")
    print(json.dumps(main(arguments()), indent=2))
