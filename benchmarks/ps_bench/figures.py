"""From rounds to figures, and from figures to what was reached. Pure.

Times of a shared machine drift; so peers take turns, and a ratio is the median of the ratios within a round.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ps_peers import GLOO, GRPC, GRPC_CHUNKED, HOROVOD, MIB, SOCKETS, TORCH_RPC, TORCH_RPC_CHUNKED, TRIREME, Cell, Peer

from ps_bench.cells import KIB, taking_part

LARGE = 4 * MIB
"""The targets hold from here on."""
BUFFER_BYTES = 4 * MIB
"""A connection's: the largest range."""
PROCESS_BYTES = 4 * MIB
"""What a server needs for itself, whatever its shard: threads, code that is run for the first time."""
SHARDS = 2.0
"""Copies of its shard that a server may hold."""


@dataclass(frozen=True)
class Round:
    """Of one peer: what one step took."""

    seconds: float
    """Until the last worker had its values."""
    cpu: float
    """Seconds of all processes of the peer."""


@dataclass(frozen=True)
class Measured:
    """A peer in a cell."""

    rounds: tuple[Round, ...]
    server_peak: int
    """Bytes; 0 without servers."""
    worker_peak: int


def figures(cell: Cell, measured: Measured) -> dict[str, Any]:
    seconds = statistics.median(one.seconds for one in measured.rounds)
    cpu = statistics.median(one.cpu for one in measured.rounds)
    found = {
        "ms": round(1e3 * seconds, 3),
        "gb_per_s": round(cell.moved / seconds / 1e9, 3),
        "cpu_s_per_gb": round(cpu / cell.moved * 1e9, 3),
        "worker_peak_mib": round(measured.worker_peak / MIB, 2),
    }
    if measured.server_peak:
        found["server_peak_mib"] = round(measured.server_peak / MIB, 2)
        found["server_peak_in_shards"] = round(measured.server_peak / cell.share, 2)
    return found


def speedup(ours: Sequence[Round], theirs: Sequence[Round]) -> dict[str, float]:
    """How many times as fast as the other, round by round; over 1 is faster."""
    ratios = [b.seconds / a.seconds for a, b in zip(ours, theirs, strict=True)]
    return {key: round(of(ratios), 3) for key, of in (("median", statistics.median), ("min", min), ("max", max))}


def row(cell: Cell, measured: Mapping[Peer, Measured]) -> dict[str, Any]:
    """A cell of the result. `measured` lacks those that failed."""
    ours = measured.get(TRIREME)
    found: dict[str, Any] = {
        "size": cell.size,
        "workers": cell.workers,
        "servers": cell.servers,
        "transport": cell.transport,
        "colocated": cell.colocated,
        "rounds": max((len(one.rounds) for one in measured.values()), default=0),
        "peers": {peer.name: figures(cell, one) for peer, one in measured.items()},
    }
    if ours is not None:
        others = {peer: one for peer, one in measured.items() if peer is not TRIREME}
        found["speedup"] = {peer.name: speedup(ours.rounds, one.rounds) for peer, one in others.items()}
    return found


@dataclass(frozen=True)
class Target:
    key: str
    peer: Peer | None
    """Whom to be faster than; None: memory."""
    least: float


TARGETS = (
    Target("bare_sockets_0.7", SOCKETS, 0.7),
    Target("torch_rpc_3x", TORCH_RPC, 3.0),
    Target("torch_rpc_chunked_3x", TORCH_RPC_CHUNKED, 3.0),
    Target("grpc_3x", GRPC, 3.0),
    Target("grpc_chunked_3x", GRPC_CHUNKED, 3.0),
    Target("colocated_horovod_1x", HOROVOD, 1.0),
    Target("colocated_gloo_1x", GLOO, 1.0),
    Target("memory_two_shards_and_buffers", None, SHARDS),
)


def verdict(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was reached from 4 MiB on, and a sentence for every cell in which it was not."""
    large = [one for one in rows if one["size"] >= LARGE]
    reached, missed = {}, []
    for target in TARGETS:
        judged = [one for one in large if target.peer is None or _judges(target.peer, one)]
        short = [sentence for one in judged if (sentence := _short(target, one))]
        reached[target.key] = bool(judged) and not short
        missed += [f"{target.key}: {sentence}" for sentence in short]
    return {"reached": reached, "not_reached": missed}


def _judges(peer: Peer, one: Mapping[str, Any]) -> bool:
    """Whether a peer takes part in a row's cell; allreduce is a target for colocated shards only."""
    cell = Cell(**{field.name: one[field.name] for field in fields(Cell)})
    return peer in taking_part(cell) and cell.colocated >= peer.allreduce


def _short(target: Target, one: Mapping[str, Any]) -> str:
    """Why a cell misses a target; empty when it does not."""
    if target.peer is not None:
        found = one.get("speedup", {}).get(target.peer.name)
        if found is None:
            return f"{name(one)}: not measured"
        return "" if found["median"] >= target.least else f"{name(one)}: {found['median']:.2f} of {target.least:g}"
    ours = one["peers"].get(TRIREME.name)
    if ours is None:
        return f"{name(one)}: not measured"
    allowed = (SHARDS * one["size"] / one["servers"] + one["workers"] * BUFFER_BYTES + PROCESS_BYTES) / MIB
    peak = ours["server_peak_mib"]
    return "" if peak <= allowed else f"{name(one)}: {peak:.1f} MiB, {allowed:.1f} allowed"


def name(one: Mapping[str, Any]) -> str:
    where = "colocated" if one["colocated"] else one["transport"]
    return f"{size(one['size'])}, {one['workers']} workers, {one['servers']} servers, {where}"


def size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count // KIB} KiB"
