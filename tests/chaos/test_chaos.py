"""The short set of the chaos suite: in each kind of training some misfortunes, every one somewhere.

The moments, and whom they meet, are drawn from the seed in the name. `make chaos` goes on for as long as it is told.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.arena import Note
from support.chaos import RUN_SECONDS, outlives, overlaps
from support.misfortunes import OF

SEED = 1
SHORT = {
    "horovod": ("rank and operator killed", "coordinator killed"),
    "torch": ("pod deleted", "network cut", "rank stopped"),
    "ps": ("node lost", "network cut", "memory full", "server killed"),
}
LONG_ALONE = {"operator killed", "rank killed", "pod killed"}
"""Parts of what is in the short set."""


@pytest.mark.timeout(RUN_SECONDS + 30)
@pytest.mark.parametrize("seed", [SEED])
@pytest.mark.parametrize("kind", SHORT)
async def test_a_training_outlives(kind: str, seed: int, tmp_path: Path) -> None:
    await outlives(kind, SHORT[kind], seed, tmp_path)


def test_every_misfortune_comes_in_the_short_set() -> None:
    met = {name for names in SHORT.values() for name in names}
    assert met | LONG_ALONE == {name for names in OF.values() for name in names}


def test_a_rank_that_lives_twice_is_found() -> None:
    notes = [Note(0, 1, 5, 1.0), Note(0, 2, 4, 2.0), Note(1, 1, 6, 2.1), Note(0, 1, 6, 2.2)]
    assert overlaps(notes) == [Note(0, 1, 6, 2.2)]
