"""Which device a process computes on."""

from __future__ import annotations

import torch


def choose(local_rank: int, gpu: bool) -> torch.device:
    """The GPU of this local rank, made the current one as NCCL wants it, or the CPU."""
    if not gpu:
        return torch.device("cpu")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
