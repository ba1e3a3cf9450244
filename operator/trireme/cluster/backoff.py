"""How long to wait before trying again: exponential, capped, jittered so that clients do not come back all at once."""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST_SECONDS = 0.2
CAP_SECONDS = 30.0


def delay(failures: int, first: float = FIRST_SECONDS, cap: float = CAP_SECONDS, asked: float | None = None) -> float:
    """Seconds to wait after so many failures in a row (from 1): between half of the exponential value and all of it.

    Never less than the server `asked` for (Retry-After), as long as that is not beyond the cap.
    """
    whole = min(cap, first * 2.0 ** min(failures - 1, 30))
    return max(whole * random.uniform(0.5, 1.0), min(asked or 0.0, cap))


class Endless:
    """Iterable of delays that never ends, for libraries that count their tries by exhausting one."""

    def __iter__(self) -> Iterator[float]:
        failures = 0
        while True:
            failures += 1
            yield delay(failures)
