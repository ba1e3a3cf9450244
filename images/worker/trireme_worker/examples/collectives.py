"""Runs every collective over the whole job and over two process sets (even and odd ranks), and checks each result.

A table on rank 0 says what was checked. Every rank judges what it got itself: one that got something wrong says so and
exits 1, which fails the job and names the rank.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from trireme_worker import report
from trireme_worker.examples.collectives_checks import Check, checks, mismatch

ROW = "{:<22} {:<5} {:<8} {:>9}  {}"


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    if args.backend == "horovod":
        from trireme_worker.examples.collectives_horovod import groups
    else:
        from trireme_worker.examples.collectives_torch import groups

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    # one rank alone has no halves, and Horovod refuses two process sets of the same ranks
    sets = {"even": range(0, size, 2), "odd": range(1, size, 2)} if size > 1 else {}
    with groups(sets) as mine:
        code = run([check for group in mine for check in checks(group)], rank)
        mine[0].barrier()  # the first rank to leave shuts Horovod down for all: go together
    return code


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Check every collective of a backend against its closed-form answer.")
    parser.add_argument("--backend", choices=("horovod", "torch"), default="horovod", help="default: %(default)s")
    return parser.parse_args(argv)


def run(todo: Sequence[Check], rank: int) -> int:
    """Returns the exit code. Goes on after a mismatch: the other ranks count on this one in what follows."""
    say(rank, ROW.format("op", "group", "dtype", "elements", "ok"))
    wrong = 0
    for step, check in enumerate(todo, start=1):
        problem = mismatch(check.expected, check.run())
        dtype = str(check.sample.dtype).removeprefix("torch.")
        if problem:
            wrong += 1
            print(f"{check.op} {dtype} in group {check.group}: rank {rank}: {problem}", file=sys.stderr, flush=True)
        say(rank, ROW.format(check.op, check.group, dtype, check.sample.numel(), "no" if problem else "yes"))
        report(step=step, total_steps=len(todo), checks=step - wrong)
    say(rank, f"{len(todo) - wrong} of {len(todo)} checks passed on rank 0")
    return 1 if wrong else 0


def say(rank: int, line: str) -> None:
    if rank == 0:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
