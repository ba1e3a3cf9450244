"""The plots of a result: speed, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from ps_peers import MIB, PEERS, SOCKETS, TRIREME

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

Row = Mapping[str, Any]
COLORS = {peer.name: f"C{number}" for number, peer in enumerate(PEERS)}
HIGHLIGHTS = {TRIREME.name: {"linewidth": 2.5, "zorder": 3}, SOCKETS.name: {"linestyle": "--", "color": "black"}}


def draw(rows: Sequence[Row], folder: Path) -> None:
    """Writes ps-speed.svg and ps-cost.svg."""
    matplotlib.rcParams["svg.hashsalt"] = "trireme"  # the same figures give the same file
    _speed(rows, folder / "ps-speed.svg")
    _cost(rows, folder / "ps-cost.svg")


def _speed(rows: Sequence[Row], path: Path) -> None:
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 8), layout="constrained", sharex=True)
    for axis, (transport, workers) in zip(
        axes.flat, ((where, count) for where in ("tcp", "unix") for count in (1, 2)), strict=True
    ):
        chosen = _chosen(rows, lambda one, t=transport, w=workers: _apart(one, t, w, 1))
        _lines(axis, chosen, "gb_per_s")
        where = "TCP" if transport == "tcp" else "AF_UNIX"
        axis.set(title=f"{where}, workers: {workers}, servers: 1", ylabel="GB/s pushed and pulled", ylim=(0, None))
    _finish(figure, axes.flat[0], path)


def _cost(rows: Sequence[Row], path: Path) -> None:
    figure, axes = pyplot.subplots(1, 3, figsize=(14, 4.8), layout="constrained")
    apart = _chosen(rows, lambda one: _apart(one, "tcp", 2, 1))
    _lines(axes[0], apart, "cpu_s_per_gb")
    axes[0].set(title="TCP, workers: 2, servers: 1", ylabel="CPU seconds per GB, both ends", ylim=(0, None))
    _lines(axes[1], [one for one in apart if one["size"] >= MIB], "server_peak_in_shards")
    axes[1].set(title="the same", ylabel="peak memory of the server, in shards", yscale="log")
    _lines(axes[2], _chosen(rows, lambda one: one["colocated"]), "ms")
    axes[2].set(title="two workers, each with a shard in its pod", ylabel="ms per step", yscale="log")
    _finish(figure, axes[0], path)


def _chosen(rows: Sequence[Row], wanted: Callable[[Row], bool]) -> list[Row]:
    return sorted((one for one in rows if wanted(one)), key=lambda one: one["size"])


def _apart(one: Row, transport: str, workers: int, servers: int) -> bool:
    layout = (one["transport"], one["workers"], one["servers"])
    return not one["colocated"] and layout == (transport, workers, servers)


def _lines(axis: Axes, rows: Sequence[Row], key: str) -> None:
    for peer in PEERS:
        points = [(one["size"] / MIB, found[key]) for one in rows if key in (found := one["peers"].get(peer.name, {}))]
        if points:
            style = {"color": COLORS[peer.name], **HIGHLIGHTS.get(peer.name, {})}
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=peer.title, **style)
    axis.set(xlabel="MiB each way", xscale="log")
    axis.grid(alpha=0.3)


def _finish(figure: Any, legend: Axes, path: Path) -> None:
    handles, labels = legend.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
