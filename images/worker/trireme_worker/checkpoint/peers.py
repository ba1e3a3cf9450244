"""How the ranks of a training hear one another: one collective, over whatever the user's script has initialised."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Protocol

from trireme_worker.checkpoint.errors import CheckpointError

SAYING_BYTES = 1024
"""Of what a rank says while a checkpoint is saved or looked for."""
PROBLEM_MAX = 400
"""Characters of a problem that is told to the others."""


class Peers(Protocol):
    rank: int
    size: int

    def gather(self, mine: bytes) -> list[bytes]:
        """Everybody's, in the order of the ranks; all of the same length."""

    def close(self) -> None:
        """Before the process ends."""


class Alone:
    rank = 0
    size = 1

    def gather(self, mine: bytes) -> list[bytes]:
        return [mine]

    def close(self) -> None:
        """There is nothing to close."""


class _Horovod:
    def __init__(self, hvd: Any) -> None:
        self._hvd = hvd
        self.rank, self.size = hvd.rank(), hvd.size()

    def gather(self, mine: bytes) -> list[bytes]:
        import torch

        tensor = torch.frombuffer(bytearray(mine), dtype=torch.uint8)
        # Named: Horovod numbers nameless operations, and they would get mixed up with the user's.
        return _split(self._hvd.allgather(tensor, name="trireme.checkpoint"), self.size)

    def close(self) -> None:
        """The connections are the user's."""


class _Torch:
    """A group of its own on gloo: it neither waits for the GPU nor stands among the user's collectives."""

    def __init__(self, dist: Any) -> None:
        self._dist = dist
        self._group = dist.new_group(backend="gloo")
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def gather(self, mine: bytes) -> list[bytes]:
        import torch

        tensor = torch.frombuffer(bytearray(mine), dtype=torch.uint8)
        everybody = [torch.empty_like(tensor) for _ in range(self.size)]
        self._dist.all_gather(everybody, tensor, group=self._group)
        return [bytes(one.numpy()) for one in everybody]

    def close(self) -> None:
        """A group whose threads live on when the interpreter ends may abort the process."""
        group, self._group = self._group, None
        if group is not None and self._dist.is_initialized():
            self._dist.destroy_process_group(group)


def meet() -> Peers:
    """Collective. Raises CheckpointError when there are other ranks and no way to reach them yet."""
    hvd = sys.modules.get("horovod.torch")
    if hvd is not None and hvd.is_initialized():
        return _Horovod(hvd) if hvd.size() > 1 else Alone()
    dist = sys.modules.get("torch.distributed")
    if dist is not None and dist.is_available() and dist.is_initialized():
        return _Torch(dist) if dist.get_world_size() > 1 else Alone()
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise CheckpointError("call hvd.init() or torch.distributed.init_process_group() before you resume")
    return Alone()


def tell(peers: Peers, **mine: Any) -> list[dict[str, Any]]:
    """What every rank says, in their order: JSON of at most SAYING_BYTES."""
    if "problem" in mine:
        mine["problem"] = str(mine["problem"])[:PROBLEM_MAX]
    said = json.dumps(mine).encode()
    if len(said) > SAYING_BYTES:  # many characters of the problem need six bytes each
        said = json.dumps({**mine, "problem": ascii(mine["problem"])[: PROBLEM_MAX // 2]}).encode()
    return [json.loads(one) for one in peers.gather(said.ljust(SAYING_BYTES))]


def problem(said: list[dict[str, Any]]) -> str:
    """Of the first rank that has one."""
    return next((f"rank {rank}: {one['problem']}" for rank, one in enumerate(said) if one.get("problem")), "")


def _split(tensor: Any, size: int) -> list[bytes]:
    data = bytes(tensor.numpy())
    length = len(data) // size
    return [data[start : start + length] for start in range(0, len(data), length)]
