"""The long set of the chaos suite, `make chaos`: rounds drawn from a seed until the time is over or one fails.

TRIREME_CHAOS_MINUTES (10) and TRIREME_CHAOS_SEED (of the clock) tell how long and which; every round has its own seed,
so that TRIREME_CHAOS_SEED of one that failed draws that round first.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / each) for each in ("tests", "operator", "images/worker")]

from support.chaos import outlives  # noqa: E402
from support.misfortunes import OF  # noqa: E402

FEWEST, MOST = 2, 5


def main() -> None:
    end = time.monotonic() + 60 * float(os.environ.get("TRIREME_CHAOS_MINUTES", "10"))
    first = seed = int(os.environ.get("TRIREME_CHAOS_SEED") or time.time())
    while time.monotonic() < end:
        kind, names = drawn(seed)
        with tempfile.TemporaryDirectory(prefix="trireme-chaos-") as folder:
            try:
                asyncio.run(outlives(kind, names, seed, Path(folder)))
            except BaseException:
                print(f"to draw it again: TRIREME_CHAOS_SEED={seed} make chaos", file=sys.stderr)
                raise
        seed += 1
    print(f"{seed - first} trainings outlived what was drawn for them")


def drawn(seed: int) -> tuple[str, list[str]]:
    rng = random.Random(f"round {seed}")
    kind = rng.choice(sorted(OF))
    return kind, rng.choices(sorted(OF[kind]), k=rng.randint(FEWEST, MOST))


if __name__ == "__main__":
    main()
