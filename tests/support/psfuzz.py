"""The long fire test: seed after seed until the time is up. `make fuzz`."""

from __future__ import annotations

import itertools
import logging
import sys
import time

from support import psfire, psgroup
from trireme_worker.comm.ps.consistency import Consistency

RULES = ("Sync", "Bounded:2", "Async")


def main(seed: int, minutes: float) -> None:
    logging.basicConfig(level=logging.ERROR)
    end = time.monotonic() + 60 * minutes
    for at in itertools.count(seed):
        if time.monotonic() >= end:
            return
        rule = RULES[at % len(RULES)]
        print(f"seed {at} {rule}", flush=True)
        options = {"backups": 1 + at % 2, "leave_seconds": 0.3, "rule": Consistency.parse(rule)}
        with psgroup.group(servers=3, workers=3, tcp=bool(at // 3 % 2), **options) as group:
            psfire.Fire(group, at, psfire.TABLES, rounds=20).run(psfire.ALL, pause=0.1)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
