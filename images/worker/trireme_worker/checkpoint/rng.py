"""The state of every random number generator that a training step may draw from, as what `weights_only` loads."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any


def capture() -> dict[str, Any]:
    """Python's generator, numpy's global one if it is imported, torch's on the CPU and on this process's GPU."""
    import torch

    state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if "numpy" in sys.modules:
        words = sys.modules["numpy"].random.get_state(legacy=False)
        state["numpy"] = {**words, "state": {"key": words["state"]["key"].tolist(), "pos": int(words["state"]["pos"])}}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore(state: dict[str, Any]) -> None:
    import torch

    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    torch.set_rng_state(state["torch"].cpu())
    if "numpy" in state:
        import numpy as np

        words = state["numpy"]
        key = np.array(words["state"]["key"], dtype=np.uint32)
        np.random.set_state({**words, "state": {**words["state"], "key": key}})
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """What is drawn inside leaves no trace."""
    state = capture()
    try:
        yield
    finally:
        restore(state)
