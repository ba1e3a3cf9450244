"""A job has succeeded when every planned pod has: no agent exits 0 before all ranks are done."""

from __future__ import annotations

from trireme.lifecycle.observe import Observed


def succeeded(observed: Observed, desired: int) -> bool:
    return len(observed.succeeded) == desired
