"""Misfortune of every kind, seeded, by TCP for odd seeds. `make fuzz` runs it long; a few seeds run here."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
from support import psfire, psgroup
from trireme_worker.comm.ps.consistency import Consistency


def burn(seed: int, misfortunes: list[Callable[..., None]], rule: str, rounds: int) -> None:
    options = {"backups": 1, "leave_seconds": 0.3, "rule": Consistency.parse(rule)}
    with psgroup.group(servers=3, workers=3, tcp=bool(seed % 2), **options) as group:
        psfire.Fire(group, seed, psfire.TABLES, rounds).run(misfortunes, pause=0.1)
    gc.collect()  # what was killed holds gigabytes in few objects, and Python counts objects


@pytest.mark.parametrize("rule", ["Sync", "Bounded:2", "Async"])
@pytest.mark.parametrize(
    "misfortunes",
    [[], [psfire.cut], [psfire.kill_server, psfire.start_server], [psfire.kill_worker]],
    ids=["none", "cuts", "servers", "workers"],
)
def test_every_acknowledged_push_counts_once(misfortunes: list[Callable[..., None]], rule: str) -> None:
    burn(1, misfortunes, rule, 12)


@pytest.mark.parametrize("seed", range(1, 4))
def test_all_misfortunes_together(seed: int) -> None:
    burn(seed, psfire.ALL, "Sync", 20)
