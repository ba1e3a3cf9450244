"""The digits examples with every step noted, paced, and with a leak on request: for recovery.py and the chaos suite.

    python noted.py horovod|torch|ps EPOCHS STEP_SECONDS NOTES

A step of the example takes two milliseconds on a machine that has nothing else to do, one of a real training hundreds:
paced, there is time for something to happen, and little for the processor to do. Lines of the file NOTES are

    started|ready|step RANK GENERATION STEP SECONDS

on the monotonic clock, which all processes of a machine share: `started` when the process was made, `ready` when it has
imported its framework. On SIGUSR2 it fills a gigabyte.
"""

from __future__ import annotations

import os
import time

with open("/proc/self/stat") as _stat:
    MADE_AT = float(_stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
STARTED = MADE_AT - time.clock_gettime(time.CLOCK_BOOTTIME) + time.monotonic()

import importlib  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402

LEAK_BYTES = 1 << 30
_hoard: list[bytes] = []


def main(kind: str, epochs: str, step_seconds: str, notes: str) -> None:
    rank, generation = os.environ["RANK"], os.environ.get("TRIREME_GENERATION", "0")
    signal.signal(signal.SIGUSR2, lambda *_: _hoard.append(b"x" * LEAK_BYTES))
    with open(notes, "a", buffering=1, encoding="utf-8") as file:

        def note(what: str, step: int, at: float) -> None:
            file.write(f"{what} {rank} {generation} {step} {at:.6f}\n")

        note("started", 0, STARTED)
        example = importlib.import_module(f"trireme_worker.examples.digits_{kind}")
        importlib.import_module("torch._dynamo")  # torch's optimizers would, when they are made
        note("ready", 0, time.monotonic())
        report = example.digits.report

        def noted(step: int | None = None, **others: object) -> None:
            if step is not None and "loss" in others:
                time.sleep(float(step_seconds))
                note("step", step, time.monotonic())
            report(step, **others)

        example.digits.report = noted
        sys.argv[1:] = ["--epochs", epochs]
        example.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
