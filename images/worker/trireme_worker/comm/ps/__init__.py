"""Trireme's parameter server, as user code sees it (Li et al., "Scaling Distributed Machine Learning with the Parameter
Server", OSDI'14).

    import trireme_worker.comm.ps as ps

    ps.init()
    optimizer = ps.DistributedOptimizer(optimizer, named_parameters=model.named_parameters())
    ...                                   # train as before
    ps.shutdown()

`ps.client()` is what lies beneath: tables, push and pull.
"""

from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.diloco import DiLoCo
from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.optimizer import DistributedOptimizer
from trireme_worker.comm.ps.session import broadcast_parameters, client, init, rank, shutdown, size
from trireme_worker.comm.ps.worker import Worker

__all__ = [
    "Client",
    "DiLoCo",
    "DistributedOptimizer",
    "ParameterServerError",
    "Worker",
    "broadcast_parameters",
    "client",
    "init",
    "rank",
    "shutdown",
    "size",
]
