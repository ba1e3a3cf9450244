"""The one client of a training process."""

from __future__ import annotations

import atexit
import itertools
import os
import sys
from collections.abc import Iterable, Mapping

from torch import Tensor

from trireme_worker.comm.ps import settings
from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.errors import ParameterServerError

_client: Client | None = None
_broadcasts = itertools.count()


def init() -> Client:
    """Connects this process to the job's servers; from its environment, as `trireme` sets it. Waits for them.

    A process need not call `shutdown`: as it ends it waits for what is under way, and the exit code says the rest. With
    code 0 the worker has finished; with any other it is lost, and `Sync` waits for its successor.

    Raises ParameterServerError.
    """
    global _client
    if _client is None:
        _client = Client(settings.worker(), settings.directory())
        atexit.register(_flush, os.getpid())
    return _client


def client() -> Client:
    """The process's client. Raises ParameterServerError before `init`."""
    if _client is None:
        raise ParameterServerError("call ps.init() first")
    return _client


def rank() -> int:
    """This worker, 0 and up."""
    return client().rank


def size() -> int:
    """How many workers there are."""
    return client().size


def shutdown() -> None:
    """Waits for what is under way and says goodbye; the others go on without this worker.

    In the `finally` of a script that fails, or that exits, there is no goodbye: the exit code says how it ended.
    """
    failing = sys.exc_info()[0]
    _end(goodbye=failing is None, wait=failing is None or issubclass(failing, SystemExit))


def _end(goodbye: bool, wait: bool) -> None:
    global _client, _broadcasts
    if _client is None:
        return
    atexit.unregister(_flush)
    ending, _client, _broadcasts = _client, None, itertools.count()
    if wait:
        ending.shutdown(goodbye)
    else:
        ending.close()


def _flush(process: int) -> None:
    """When the interpreter ends. It leaves the exception that ended the script in `sys.last_value`."""
    if os.getpid() == process:  # a forked child's end is not the worker's
        _end(goodbye=False, wait=not hasattr(sys, "last_value"))


def broadcast_parameters(
    params: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]], root_rank: int = 0, using: Client | None = None
) -> None:
    """Gives all workers the root's values, in place: a state_dict, or named tensors. Every worker calls it.

    Whole numbers are exact up to 2**24 (tables are float32). What `DistributedOptimizer` has in its tables it has
    brought to all workers already.
    """
    named = list(params.items() if isinstance(params, Mapping) else params)
    tensors = [tensor for _, tensor in named if isinstance(tensor, Tensor) and tensor.numel()]
    if not tensors:
        return
    through, key = using or client(), f"broadcast.{next(_broadcasts)}"
    through.register(key, tensors, nan="pass", root_rank=root_rank)
    if through.rank != root_rank:
        through.pull(key, tensors)
