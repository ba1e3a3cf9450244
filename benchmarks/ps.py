#!/usr/bin/env python3
"""How fast does the parameter server push and pull, and how far is that from the limit and from others? JSON on stdout.

    python benchmarks/ps.py                          about ten minutes, on a machine that does nothing else
    python benchmarks/ps.py --quick                  does it run? seconds; its figures mean little
    python benchmarks/ps.py --peers trireme,sockets --workers 2 --transport unix     some of it
    python benchmarks/ps.py --plot DIR               also draws ps-speed.svg and ps-cost.svg

A cell is a size, a number of workers and servers, and TCP or AF_UNIX. In each cell all peers run the same step (every
worker pushes `size` bytes and pulls as many) in processes of their own, in turns, on one machine: ratios are taken
within a round and their median counts. Beside every time: CPU seconds of all processes of the peer by GB that the
workers push and pull, and the peak memory of its largest server and worker above their imports. What each peer does and
what it is spared: benchmarks/ps_peers/. Needs the packages of the extra `bench`: `make bench` installs them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "operator"), str(ROOT / "images/worker")]
os.environ |= {"PYTHONPATH": os.pathsep.join(sys.path[:3]), "OMP_NUM_THREADS": "1"}  # as torchrun does on a shared host

from ps_bench import cells, figures  # noqa: E402
from ps_bench.figures import Measured, Round  # noqa: E402
from ps_bench.group import Group, PeerFailed, started  # noqa: E402
from ps_peers import MIB, PEERS, Cell, Peer  # noqa: E402

PACKAGES = ("torch", "numpy", "grpcio", "pyzmq", "horovod")


def main(options: argparse.Namespace) -> dict[str, Any]:
    load = os.getloadavg()[0]
    rows, failed = [], []
    for cell in _chosen(options):
        row, troubles = measure(cell, [peer for peer in cells.taking_part(cell) if peer.name in options.peers])
        rows.append(row)
        failed += [f"{figures.name(row)}: {trouble}" for trouble in troubles]
        _tell(row)
    return {
        "python": platform.python_version(),
        "packages": dict(_versions()),
        "machine": {**machine(), "load_before": round(load, 2), "load_after": round(os.getloadavg()[0], 2)},
        "summary": {**figures.verdict(rows), "failed": failed},
        "cells": rows,
    }


def measure(cell: Cell, peers: Sequence[Peer]) -> tuple[dict[str, Any], list[str]]:
    """All peers alive at once, one at work. A peer that fails is left out and told of."""
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ps-") as name, contextlib.ExitStack() as stack:
        groups: dict[Peer, Group] = {}
        for peer in peers:
            try:
                groups[peer] = stack.enter_context(started(peer, cell, Path(name) / peer.name))
                groups[peer].rest()
            except PeerFailed as error:
                failed.append(str(error))
        taken: dict[Peer, list[Round]] = {peer: [] for peer in groups}
        for number in range(cells.rounds(cell.size)):
            for peer in _turn(list(groups), number):
                try:
                    taken[peer].append(_round(groups[peer], cells.steps(cell.size)))
                except PeerFailed as error:
                    failed.append(str(error))
                    del groups[peer]
        measured = {
            peer: Measured(tuple(taken[peer]), group.peak("server"), group.peak("worker"))
            for peer, group in groups.items()
        }
    return figures.row(cell, measured), failed


def _turn(peers: list[Peer], number: int) -> list[Peer]:
    """Each round begins with another peer."""
    first = number % len(peers) if peers else 0
    return peers[first:] + peers[:first]


def _round(group: Group, steps: int) -> Round:
    group.wake()
    if steps > 1:
        group.step(1)  # what the others left in the caches; a single step is larger than these
    taken = group.step(steps)
    group.rest()
    return taken


def machine() -> dict[str, Any]:
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
    }


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)


def _tell(row: dict[str, Any]) -> None:
    times = " ".join(f"{name}={peer['ms']:g}" for name, peer in row["peers"].items())
    print(f"{figures.name(row)}: ms {times}", file=sys.stderr, flush=True)


def _chosen(options: argparse.Namespace) -> list[Cell]:
    found = cells.quick() if options.quick else cells.full()
    return [
        cell
        for cell in found
        if options.workers in (None, cell.workers)
        and options.servers in (None, cell.servers)
        and options.transport in (None, "colocated" if cell.colocated else cell.transport)
        and (options.mib is None or options.mib * MIB == cell.size)
    ]


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - {peer.name for peer in PEERS}:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ",".join(peer.name for peer in PEERS)
    parser.add_argument("--quick", action="store_true", help="three small cells")
    parser.add_argument("--peers", type=_names, default=known.split(","), help=f"of {known}")
    parser.add_argument("--workers", type=int, help="only cells with so many")
    parser.add_argument("--servers", type=int, help="only cells with so many")
    parser.add_argument("--transport", choices=("tcp", "unix", "colocated"), help="only these cells")
    parser.add_argument("--mib", type=int, help="only cells of this size")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="write the plots there (needs matplotlib)")
    return parser.parse_args(given)


if __name__ == "__main__":
    chosen = arguments()
    outcome = main(chosen)
    print(json.dumps(outcome, indent=2))
    if chosen.plot is not None:
        from ps_bench import charts

        chosen.plot.mkdir(parents=True, exist_ok=True)
        charts.draw(outcome["cells"], chosen.plot)
