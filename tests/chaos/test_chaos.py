"""Trainings under fire end Succeeded with the right accuracy; what was done to them is counted exactly, and nothing is
left behind.

What happens is drawn from a seed, which stands in the test's name. `make test` runs one round of each kind, in which
each misfortune comes once somewhere; `make chaos` (TRIREME_CHAOS_MINUTES, TRIREME_CHAOS_SEED) goes on for as long as it
is told.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
from support.arena import Arena, Note, arena, left_behind
from support.misfortunes import OF

KINDS = ("horovod", "torch", "ps")
SHORT = {
    "horovod": ("rank and operator killed", "memory full", "coordinator killed"),
    "torch": ("pod killed", "network cut", "rank stopped", "pod deleted"),
    "ps": ("network cut", "rank killed", "node lost", "server killed"),
}
"""In this order; the moments, and which pod it meets, are drawn."""
RANKS = 2
RUN_SECONDS = 240
LONGEST_PAUSE_SECONDS = 1.5
"""From the recovery of one misfortune to the next."""

Counts = tuple[int, int]


def seeds() -> list[int]:
    given = os.environ.get("TRIREME_CHAOS_SEED")
    return [int(given) if given else 1]


@pytest.mark.timeout(RUN_SECONDS)
@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize("kind", KINDS)
async def test_a_training_outlives(kind: str, seed: int, tmp_path: Path) -> None:
    await outlives(kind, SHORT[kind], seed, tmp_path)


async def outlives(kind: str, names: tuple[str, ...], seed: int, folder: Path) -> None:
    rng = random.Random(seed)
    told = f"seed {seed}: {kind}: {', '.join(names)}"
    print(told)
    async with arena(folder) as field:
        await field.submit(kind)
        counted = await strike(field, kind, names, rng)
        done = await field.until(lambda status: "completionTime" in status)
        assert result(done) == ("Succeeded", *counted), f"{told}: {done['message']}"
        notes = field.notes()
    assert done["progress"]["metrics"]["accuracy"] >= 0.95, told
    if kind != "ps":
        assert overlaps(notes) == [], told
    assert left_behind(folder) == [], told


async def strike(field: Arena, kind: str, names: tuple[str, ...], rng: random.Random) -> Counts:
    """One misfortune after the other, each when the last one is overcome; returns what they count as."""
    restarts = disruptions = 0
    await field.until(lambda status: status.get("phase") == "Running")
    await field.stepping(0, RANKS)
    for name in names:
        await asyncio.sleep(rng.uniform(0, LONGEST_PAUSE_SECONDS))
        chosen = OF[kind][name]
        restarts, disruptions = restarts + chosen.restarts, disruptions + chosen.disruptions
        began, generation = time.monotonic(), max(note.generation for note in field.notes())
        await chosen.strike(field, rng)
        status = await field.until(lambda status, at=(restarts, disruptions): recovered(status, at))  # type: ignore[misc]
        assert status["phase"] == "Running", f"{name}: {status['message']}"
        if kind != "ps" and chosen.restarts + chosen.disruptions:
            await next_generation(field, generation)
        await field.stepping(time.monotonic(), RANKS)
        print(f"{name}: {time.monotonic() - began:.1f} s, {status['message']}")
    return restarts, disruptions


def recovered(status: dict[str, Any], counts: Counts) -> bool:
    """Also when the job is over: that is for the caller to judge."""
    return result(status) == ("Running", *counts) or "completionTime" in status


def result(status: dict[str, Any]) -> tuple[str, int, int]:
    return status["phase"], status.get("restarts", 0), status.get("disruptions", 0)


async def next_generation(field: Arena, after: int) -> None:
    while max(note.generation for note in field.notes()) <= after:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def overlaps(notes: list[Note]) -> list[Note]:
    """Steps of an earlier generation after one of a later: two processes were the same rank at once."""
    newest: dict[int, int] = {}
    found = []
    for note in sorted(notes, key=lambda note: note.at):
        if note.generation < newest.get(note.rank, 0):
            found.append(note)
        newest[note.rank] = max(note.generation, newest.get(note.rank, 0))
    return found
