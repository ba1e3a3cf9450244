#!/usr/bin/env python3
"""How long after a kill does a training take its next step, and what is left of its pace? JSON on standard output.

    python benchmarks/recovery.py [--rounds 3] [--goodput-seconds 120] [--kinds horovod,torch,ps]
        [--faults "rank killed,pod killed,coordinator killed"]

On the pocket cluster: API server, operator and kubelet are this process, agents and ranks are processes of their own.
Every fault is measured in pairs: once as it is (restart.scope Failed: a killed rank starts again in its pod, a killed
pod is replaced), once against a full restart (scope All: every pod is made anew), in turns. The start of the training
process and its imports are the user's: measured apart, and taken off both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sys
import tempfile
import time
from operator import ge, le
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "images/worker"), str(Path(__file__).resolve().parent)]

from support import machine  # noqa: E402
from support.training import Recovery, Training, training  # noqa: E402
from trireme import __version__  # noqa: E402
from trireme.pocket.cluster import PocketCluster  # noqa: E402

KINDS = {"horovod": "AllReduce, Horovod", "torch": "AllReduce, Torch", "ps": "ParameterServer"}
FAULTS = ("rank killed", "pod killed", "coordinator killed")
FAILED, ALL = "Failed", "All"
SECONDS = {"rank killed": 5.0, "pod killed": 5.0, "coordinator killed": 8.0}
TIMES_FASTER, GOODPUT = 3.0, 0.8
"""What is to be reached (issue 5)."""
EVERY_SECONDS = 30.0
UNDISTURBED_SECONDS = 15.0


async def main(options: argparse.Namespace) -> dict[str, Any]:
    before, kinds, faults = machine.load(), options.kinds.split(","), options.faults.split(",")
    with tempfile.TemporaryDirectory(prefix="trireme-") as name:
        folder = Path(name)
        async with PocketCluster(folder / "cluster") as cluster:
            recoveries = await recover(cluster, folder, kinds, faults, options.rounds)
            goodput = {
                KINDS[kind]: await keep_going(cluster, folder, kind, options.goodput_seconds)
                for kind in kinds
                if options.goodput_seconds
            }
    result = {"recovery": recoveries, "goodput": goodput}
    described = {**machine.described(), "load_before": before, "load_after": machine.load()}
    return {
        "trireme": __version__,
        "machine": described,
        "rounds": options.rounds,
        **result,
        "reached": reached(result),
    }


async def recover(
    cluster: PocketCluster, folder: Path, kinds: list[str], faults: list[str], rounds: int
) -> dict[str, Any]:
    """By kind and fault. Which of a pair comes first changes with every round."""
    found: dict[tuple[str, str, str], list[Recovery]] = {}
    for number in range(rounds):
        for kind in kinds:
            for scope in (FAILED, ALL) if number % 2 else (ALL, FAILED):
                async with training(cluster, folder, kind, scope, number) as run:
                    for fault in faults:
                        recovery = await run.recovery(fault)
                        found.setdefault((kind, fault, scope), []).append(recovery)
                        print(kind, scope, fault, recovery, file=sys.stderr, flush=True)
                        await run.steady()
    return {
        KINDS[kind]: {fault: paired(found[kind, fault, FAILED], found[kind, fault, ALL]) for fault in faults}
        for kind in kinds
    }


def paired(ours: list[Recovery], full: list[Recovery]) -> dict[str, Any]:
    """Seconds, and how many times as long a full restart takes."""
    pairs = list(zip(ours, full, strict=True))
    return {
        "restarted": summary(ours),
        "full_restart": summary(full),
        "times_faster": ratios([theirs.without_import / mine.without_import for mine, theirs in pairs]),
        "times_faster_until_started": ratios([theirs.until_started / mine.until_started for mine, theirs in pairs]),
    }


def ratios(times: list[float]) -> dict[str, Any]:
    return {"each": [round(each, 1) for each in times], "median": round(statistics.median(times), 1)}


def summary(recoveries: list[Recovery]) -> dict[str, Any]:
    return {
        "next_step_without_import": spread([each.without_import for each in recoveries]),
        "until_processes_start": spread([each.until_started for each in recoveries]),
        "process_start_and_import": spread([each.process_start_and_import for each in recoveries]),
        "next_step": spread([each.next_step for each in recoveries]),
        "next_step_of_any_rank": spread([each.any_step for each in recoveries]),
    }


def spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"median": round(statistics.median(ordered), 2), "p95": round(p95, 2)}


async def keep_going(cluster: PocketCluster, folder: Path, kind: str, seconds: float) -> dict[str, Any]:
    """Useful steps by wall time, as a share of the undisturbed pace, with a rank or a pod killed every 30 s."""
    async with training(cluster, folder, kind, FAILED, 1000) as run:
        began = time.monotonic()
        await asyncio.sleep(UNDISTURBED_SECONDS)
        pace = useful(run, began, time.monotonic()) / UNDISTURBED_SECONDS
        began, struck, imports = time.monotonic(), 0, 0.0
        while (left := began + seconds - time.monotonic()) > 0:
            if struck * EVERY_SECONDS <= time.monotonic() - began:
                recovery = await run.recovery(FAULTS[struck % 2])
                struck, imports = struck + 1, imports + recovery.process_start_and_import
            else:
                await asyncio.sleep(min(left, 0.05))
        ended = time.monotonic()
        share = useful(run, began, ended) / pace / (ended - began)
        without = useful(run, began, ended) / pace / (ended - began - imports)
        return {
            "failures": struck,
            "seconds": round(ended - began, 1),
            "steps_per_second_undisturbed": round(pace, 1),
            "goodput": round(share, 3),
            "goodput_without_import": round(without, 3),
            "restarts_counted": (await run.status())["restarts"],
        }


def useful(run: Training, began: float, ended: float) -> float:
    """Steps that were kept. A step that a restart has undone is taken again, and counts once; what a worker of a
    parameter server has pushed is kept whatever becomes of it."""
    steps = [note for note in run.notes.all() if note.what == "step"]
    within = [note for note in steps if began < note.at <= ended]
    if run.kind == "ps":
        return len(within) / 2
    before = [note.step for note in steps if note.at <= began and note.rank == 0]
    return [note.step for note in within if note.rank == 0][-1] - (before[-1] if before else 0)


def reached(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each number beside its bound, of the kinds the worst."""
    kinds = result["recovery"].values()
    numbers = {}
    for fault, bound in SECONDS.items():
        if struck := [kind[fault] for kind in kinds if fault in kind]:
            worst = max(each["restarted"]["next_step_without_import"]["median"] for each in struck)
            numbers[f"{fault.replace(' ', '_')}_seconds"] = (worst, "<=", bound)
    times = [kind[fault]["times_faster"]["median"] for kind in kinds for fault in FAULTS[:2] if fault in kind]
    if times:
        numbers["times_faster_than_full_restart"] = (min(times), ">=", TIMES_FASTER)
    if result["goodput"]:
        numbers["goodput"] = (min(each["goodput"] for each in result["goodput"].values()), ">=", GOODPUT)
    met = {">=": ge, "<=": le}
    return {
        name: {"is": value, "wanted": f"{sign} {bound}", "met": met[sign](value, bound)}
        for name, (value, sign, bound) in numbers.items()
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--goodput-seconds", type=float, default=120, help="0: not measured")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--faults", default=",".join(FAULTS))
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    print(json.dumps(asyncio.run(main(arguments())), indent=2))
