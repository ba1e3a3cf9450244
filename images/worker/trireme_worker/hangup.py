"""A process that has lost a peer lets go of the others, so that they notice too.

Horovod 0.28.1 closes its global Gloo contexts in `shutdown`, and forgets those of process set 0, which all collectives
use: `GlooContext::Finalize` returns at once where `Enable` was never called. They stay open until the next `init`
replaces them, and that one waits for the next generation, which waits for a peer that still waits for an answer
through them. So between `shutdown` and the true `init` there is one of a world of one, in memory and without
rendezvous: it replaces the old contexts, and whoever waits on their connections gets HorovodInternalError at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ALONE = {
    **{f"HOROVOD_{key}": "0" for key in ("RANK", "LOCAL_RANK", "CROSS_RANK", "ELASTIC")},
    **{f"HOROVOD_{key}": "1" for key in ("SIZE", "LOCAL_SIZE", "CROSS_SIZE")},
}
"""Of a world of one: HOROVOD_ELASTIC would ask for the place in the next generation."""
WITHOUT = ("HOROVOD_GLOO_RENDEZVOUS_ADDR", "HOROVOD_TIMELINE", "HOROVOD_AUTOTUNE_LOG")
"""No store, and files that are rank 0's."""


def hangs_up(state: Any) -> None:
    """From now on the process lets go of its peers when Horovod restores the state, before it asks for its next place.

    `restore` is what `hvd.elastic.run` calls after HorovodInternalError, and only then; samplers that are restored ask
    for the rank, so that it comes before.
    """
    horovod, restore = _framework(state), state.restore
    if horovod is None:
        return

    def restore_and_hang_up() -> None:
        restore()
        _hang_up(horovod)

    state.restore = restore_and_hang_up


def _hang_up(horovod: Any) -> None:
    horovod.shutdown()
    with _environment():
        horovod.init()
    horovod.shutdown()


@contextmanager
def _environment() -> Iterator[None]:
    """Horovod reads it with getenv while it starts."""
    before = {key: os.environ[key] for key in (*ALONE, *WITHOUT) if key in os.environ}
    for key in WITHOUT:
        os.environ.pop(key, None)
    os.environ.update(ALONE)
    try:
        yield
    finally:
        for key in ALONE:
            del os.environ[key]
        os.environ.update(before)


def _framework(state: Any) -> Any:
    """`horovod.torch` or whichever of its siblings the state's class is from: each has a library of its own. None for a
    state that is none of Horovod's."""
    for base in type(state).__mro__:
        package = ".".join(base.__module__.split(".")[:2])
        if package.startswith("horovod.") and hasattr(sys.modules.get(package), "init"):
            return sys.modules[package]
    return None
