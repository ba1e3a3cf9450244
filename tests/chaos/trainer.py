"""The digits examples as the chaos suite runs them: each step takes its time and is noted, and memory leaks on request.

    python trainer.py horovod|torch|ps EPOCHS STEP_SECONDS NOTES

A step of the example takes two milliseconds on a machine that has nothing else to do, one of a real training hundreds:
so there is time for something to happen, and little for the processor to do. Every step is a line in the file NOTES:
rank, generation, step, seconds on the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time

from trireme_worker.examples import digits

LEAK_BYTES = 1 << 30
_hoard: list[bytes] = []


def main(kind: str, epochs: str, step_seconds: str, notes: str) -> None:
    signal.signal(signal.SIGUSR2, lambda *_: _hoard.append(b"x" * LEAK_BYTES))
    report = digits.report
    rank, generation = os.environ["RANK"], os.environ.get("TRIREME_GENERATION", "0")
    with open(notes, "a", buffering=1, encoding="utf-8") as file:

        def noted(step: int | None = None, **others: object) -> None:
            if step is not None:
                time.sleep(float(step_seconds))
                file.write(f"{rank} {generation} {step} {time.monotonic():.6f}\n")
            report(step, **others)

        digits.report = noted
        sys.argv[1:] = ["--epochs", epochs]
        importlib.import_module(f"trireme_worker.examples.digits_{kind}").main()


if __name__ == "__main__":
    main(*sys.argv[1:])
