"""Checks of what came over the wire before it is computed with. Pure."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trireme_worker.comm.ps.errors import Reason, Refused

INDEX_BYTES = 8


def check_finite(tensor: Tensor, what: str, start: int) -> None:
    """Raises Refused for a NaN or an infinity. `start`: position of the first element within its table."""
    if math.isfinite(tensor.sum().item()):
        return  # a sum hides none, it can only overflow
    bad = (~torch.isfinite(tensor.reshape(-1))).nonzero()
    if len(bad):
        raise Refused(
            Reason.NOT_FINITE,
            f"{what} has {len(bad)} values that are NaN or infinite, the first at element {start + int(bad[0])}: "
            'lower the learning rate, clip gradients, or register the table with nan="pass"',
        )


def rows(data: bytearray, count: int) -> Tensor:
    """Row numbers, int64 [k], each in 0..count-1. Raises Refused."""
    if len(data) % INDEX_BYTES:
        raise Refused(Reason.MALFORMED, f"{len(data)} bytes are not row numbers")
    found = torch.frombuffer(data, dtype=torch.int64) if data else torch.empty(0, dtype=torch.int64)
    if len(found) and not (int(found.min()) >= 0 and int(found.max()) < count):
        raise Refused(Reason.MALFORMED, f"row numbers from {int(found.min())} to {int(found.max())}, there are {count}")
    return found
