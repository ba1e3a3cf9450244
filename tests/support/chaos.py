"""One training under fire: it ends Succeeded with the right accuracy, what was done to it is counted exactly, and
nothing is left behind. What it meets and when is drawn from a seed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.arena import Arena, Note, arena, left_behind
from support.misfortunes import OF

RANKS = 2
RUN_SECONDS = 300
FEWEST_EPOCHS = 6
EPOCHS_EACH = 2
"""An epoch takes a second at least: the training must not end before the last misfortune."""
LONGEST_PAUSE_SECONDS = 1.5
"""From the recovery of one misfortune to the next."""
TARGET = 0.95

Counts = tuple[int, int]


async def outlives(kind: str, names: Sequence[str], seed: int, folder: Path) -> None:
    """Raises AssertionError, or TimeoutError, with the seed and what was drawn."""
    told = f"seed {seed}: {kind}: {', '.join(names)}"
    print(told, flush=True)
    async with asyncio.timeout(RUN_SECONDS), arena(folder) as field:
        await field.submit(kind, FEWEST_EPOCHS + EPOCHS_EACH * len(names))
        counted = await strike(field, kind, names, random.Random(seed))
        done = await field.until(lambda status: "completionTime" in status)
        notes = field.notes()
    assert result(done) == ("Succeeded", *counted), f"{told}: {done['message']}"
    assert done["progress"]["metrics"]["accuracy"] >= TARGET, told
    if kind != "ps":  # its members are independent: a worker that comes again begins with its first step
        assert overlaps(notes) == [], told
    assert left_behind(folder) == [], told


async def strike(field: Arena, kind: str, names: Sequence[str], rng: random.Random) -> Counts:
    """One misfortune after the other, each when the last one is overcome; returns what they count as."""
    restarts = disruptions = 0
    await field.until(lambda status: status.get("phase") == "Running")
    await field.stepping(0, RANKS)
    for name in names:
        await asyncio.sleep(rng.uniform(0, LONGEST_PAUSE_SECONDS))
        chosen = OF[kind][name]
        restarts, disruptions = restarts + chosen.restarts, disruptions + chosen.disruptions
        began, generation = time.monotonic(), max(note.generation for note in field.notes())
        before = await field.pods()
        await chosen.strike(field, rng)
        await overcome(field, kind, (restarts, disruptions), generation + bool(chosen.restarts + chosen.disruptions))
        now = await field.pods()
        gone = {uid: node for uid, node in before.items() if uid not in now}
        losses = len(set(gone.values()) if name == "node lost" else gone)  # a server may have shared the node
        may_be = (chosen.restarts + chosen.disruptions,) if chosen.replaced is None else chosen.replaced
        assert losses in may_be, f"{name}: {len(gone)} of {len(before)} pods were replaced"
        print(f"  {name}: overcome after {time.monotonic() - began:.1f} s", flush=True)
    return restarts, disruptions


async def overcome(field: Arena, kind: str, counts: Counts, generation: int) -> None:
    """It is counted, the job is Running again, and all ranks take steps, in the generation that is to follow."""
    status = await field.until(lambda found: result(found) == ("Running", *counts) or "completionTime" in found)
    assert status["phase"] == "Running", status["message"]
    if kind != "ps":
        while max(note.generation for note in field.notes()) < generation:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await field.stepping(time.monotonic(), RANKS)


def result(status: dict[str, Any]) -> tuple[str, int, int]:
    return status.get("phase", ""), status.get("restarts", 0), status.get("disruptions", 0)


def overlaps(notes: Sequence[Note]) -> list[Note]:
    """Steps of an earlier generation after one of a later: two processes were the same rank at once."""
    newest: dict[int, int] = {}
    found = []
    for note in sorted(notes, key=lambda note: note.at):
        if note.generation < newest.get(note.rank, 0):
            found.append(note)
        newest[note.rank] = max(note.generation, newest.get(note.rank, 0))
    return found
