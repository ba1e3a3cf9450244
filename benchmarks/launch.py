#!/usr/bin/env python3
"""How fast does the operator launch pods, at what price, and how far is that from the limit? JSON on standard output.

    python benchmarks/launch.py [--kubeconfig F] [--jobs 8] [--workers 128] [--rounds 5]
    python benchmarks/launch.py --scale [--plot F.svg]        cost against size, up to 1,000 jobs of 20 pods

Without a kubeconfig it brings the pocket's API server, in a process of its own. The operator is a process of its own
in any case, told of the benchmark's namespaces only. The limit is a raw asyncio client that creates the same pods in
the same run, in turns with the operator. No node takes the pods: the benchmark plays their lives.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from operator import ge, le, lt
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "operator"), str(Path(__file__).resolve().parent)]

from support import chart, machine, process, rounds  # noqa: E402
from support.api import Api  # noqa: E402
from trireme import __version__  # noqa: E402
from trireme.spec.crd import crd  # noqa: E402

SCALE = ((10, 20), (50, 20), (200, 20), (1000, 20))
ACCOUNT_SECONDS = 30.0
RATIO, WRITES, PATCHES, EVENT_US, RSS_MB, RSS_KIB_PER_POD, IDLE_PERCENT = 0.8, 5, 6, 150, 120, 8, 1
"""What is to be reached (issue 3)."""


async def main(options: argparse.Namespace) -> dict[str, Any]:
    before = machine.load()
    result = await (scale() if options.scale else compare(options))
    described = {**machine.described(), "load_before": before, "load_after": machine.load()}
    return {"trireme": __version__, "machine": described, **result}


async def compare(options: argparse.Namespace) -> dict[str, Any]:
    """The operator and the raw client in turns; the first pair warms both up and does not count."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with server(options.kubeconfig, folder) as kubeconfig, Api(kubeconfig) as api:
            base = f"trireme-bench-{os.getpid()}"
            ours = [f"{base}-{number}" for number in range(options.rounds + 1)]
            theirs = [f"{base}-raw-{number}" for number in range(options.rounds + 1)]
            async with namespaces(api, ours + theirs):
                async with (
                    process.operator(kubeconfig, folder, tuple(ours)) as operator,
                    process.raw_client(kubeconfig) as raw,
                ):
                    rss = operator.rss()
                    pairs = []
                    for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
                        jobs, workers = (options.jobs, options.workers) if number else (1, 64)
                        if number % 2:
                            limit = await rounds.raw(api, raw, their, jobs, workers)
                        made = await rounds.launch(api, operator, our, jobs, workers)
                        if not number % 2:
                            limit = await rounds.raw(api, raw, their, jobs, workers)
                        pairs.append((made, limit))
                        await rounds.clear(api, (our, their))
                    pairs = pairs[1:]
                    result = {
                        "server": "pocket" if options.kubeconfig is None else "given",
                        "jobs": options.jobs,
                        "workers": options.workers,
                        "ratio_to_raw": [round(a["pods_per_second"] / b["pods_per_second"], 2) for a, b in pairs],
                        "raw_pods_per_second": [b["pods_per_second"] for _, b in pairs],
                        "operator": [a for a, _ in pairs],
                        "rss_mib_at_start": round(rss / 2**20, 1),
                    }
                    result["ratio_to_raw_median"] = statistics.median(result["ratio_to_raw"])
                if options.finished:
                    await rounds.finished_jobs(api, ours[0], options.finished)
                    async with process.operator(kubeconfig, folder, (ours[0],)) as operator:
                        await asyncio.sleep(5)
                        percent = await rounds.idle(operator, options.idle_seconds)
                        result["idle"] = {
                            "finished_jobs": options.finished,
                            "seconds": options.idle_seconds,
                            "cpu_percent": round(percent, 2),
                            "rss_mib": round(operator.rss() / 2**20, 1),
                        }
                return {**result, "reached": reached(result)}


def reached(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each number beside its bound: of times the median round, of counts and memory the worst."""
    ours, workers = result["operator"], result["workers"]
    events = [round["pod_events_of_all_jobs_in_turn"]["cpu_us_per_event"] for round in ours]
    memory = max(round["rss_mib"] for round in ours) * 2**20 / 1e6
    pods = len(ours) * result["jobs"] * workers
    numbers = {
        "ratio_to_raw": (result["ratio_to_raw_median"], ">=", RATIO),
        "launch_writes_per_job": (max(map(_own_writes, ours)), "<=", workers + WRITES),
        "status_patches_per_job": (max(round["status_patches_per_job"] for round in ours), "<=", PATCHES),
        "cpu_us_per_pod_event": (statistics.median(events), "<", EVENT_US),
        "rss_mb": (round(memory, 1), "<", round(RSS_MB + RSS_KIB_PER_POD * 1024 * pods / 1e6, 1)),
    }
    if "idle" in result:
        numbers["idle_cpu_percent"] = (result["idle"]["cpu_percent"], "<", IDLE_PERCENT)
    met = {">=": ge, "<=": le, "<": lt}
    return {
        name: {"is": value, "wanted": f"{sign} {bound}", "met": met[sign](value, bound)}
        for name, (value, sign, bound) in numbers.items()
    }


def _own_writes(round: dict[str, Any]) -> float:
    """Without the agent's ConfigMap, of which a namespace has one, whatever the number of its jobs."""
    return float(round["launch_writes_per_job"] - round["launch_requests_per_job"].get("create configmaps", 0))


async def scale() -> dict[str, Any]:
    """Each size on a fresh API server and a fresh operator; a small launch warms both up."""
    results = []
    for jobs, workers in SCALE:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            async with (
                server(None, folder) as kubeconfig,
                Api(kubeconfig) as api,
                namespaces(api, ["warm", "bench"]),
                process.operator(kubeconfig, folder) as operator,
            ):
                await rounds.launch(api, operator, "warm", 2, 20)
                rss = operator.rss()
                measured = await rounds.launch(api, operator, "bench", jobs, workers)
                pods = jobs * workers
                grown = round((operator.rss() - rss) / 1024 / pods, 1)
                results.append({"jobs": jobs, "pods": pods, **measured, "rss_kib_per_pod": grown})
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    return {"server": "pocket", "sizes": results}


@contextlib.asynccontextmanager
async def server(given: Path | None, folder: Path) -> AsyncIterator[Path]:
    async with contextlib.AsyncExitStack() as stack:
        kubeconfig = given or (await stack.enter_async_context(process.pocket(folder)))[1]
        yield kubeconfig


@contextlib.asynccontextmanager
async def namespaces(api: Api, wanted: list[str]) -> AsyncIterator[None]:
    """Made with the CRD; deleted with all that is in them."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await api.send("POST", definitions, crd(), fine=(409,))
    for name in wanted:
        await api.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        async with asyncio.timeout(ACCOUNT_SECONDS):
            for name in wanted:  # pods are refused before it is there
                account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
                while (await api.send("GET", account, fine=(404,)))["kind"] == "Status":  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        yield
    finally:
        for name in wanted:
            await api.send("DELETE", f"/api/v1/namespaces/{name}")


def draw(result: dict[str, Any]) -> str:
    """Cost against size, as SVG."""
    sizes = result["sizes"]
    panels = (
        chart.Panel("pods created per second", [each["pods_per_second"] for each in sizes]),
        chart.Panel("operator CPU to launch a pod (ms)", [each["launch_cpu_ms_per_pod"] for each in sizes]),
        chart.Panel(
            "operator CPU for a pod event (µs)",
            [each["pod_events_of_all_jobs_in_turn"]["cpu_us_per_event"] for each in sizes],
            limit=EVENT_US,
        ),
        chart.Panel("operator memory (MiB)", [each["rss_mib"] for each in sizes]),
    )
    return chart.svg([each["pods"] for each in sizes], "pods, 20 a job", panels)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--workers", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--finished", type=int, default=1000, help="finished jobs of the idle measurement; 0: none")
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--plot", type=Path, help="with --scale: an SVG")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    outcome = asyncio.run(main(chosen))
    print(json.dumps(outcome, indent=2))
    if chosen.plot is not None:
        chosen.plot.write_text(draw(outcome), encoding="utf-8")
