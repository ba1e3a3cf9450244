"""A process of a job shows its Python stacks when its agent asks (docs/adr/0015). It must not import the agent.

The handler is faulthandler's, in C: it needs neither the GIL nor a main thread that runs Python. Who has none is sent
nothing.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
from collections.abc import Mapping

from trireme.contract import environ

SIGNAL = signal.SIGURG
"""Ignored by default, and programs hardly use it."""
STDERR = 2


def register(base: Mapping[str, str]) -> None:
    """For the process whose environment this is; outside of a job nothing happens."""
    if base.get(environ.AGENT_URL):
        with contextlib.suppress(ValueError, OSError):  # without a stderr there is nowhere to write
            faulthandler.register(SIGNAL, file=STDERR, all_threads=True)
