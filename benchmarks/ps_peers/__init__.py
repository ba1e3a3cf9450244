"""The parameter server and those it is compared with, one file each, all at the same task.

In a step every worker gives away `size` bytes of float32 (push) and gets as many back (pull), in place: what arrives
at a server lies in its one buffer, what arrives at a worker in the tensor it trains with. With several servers each has
an equal part. Only Trireme's servers, gloo and Horovod also add up what the workers push; the others only move bytes.

A module here is imported by the processes of its peer, never by the benchmark's own. It has

    host(place, ready)      optional: whom the others must know before they start; gives `ready` its address
    serve(place, ready)     one server; gives `ready` its address, does not return
    work(place)             one worker, connected: returns its step, which returns the pulled tensor
    expected(cell)          what every element of that tensor is after the first step
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

TCP = "tcp"
UNIX = "unix"
WHOLE = 1 << 40
"""A chunk that is never filled: one message for all that one server gets."""
ITEM_BYTES = 4

Ready = Callable[[Any], None]
Step = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Cell:
    """One thing to measure."""

    size: int
    """Bytes that a worker pushes, and pulls, in a step."""
    workers: int
    servers: int
    transport: str = TCP
    colocated: bool = False
    """Server i shares worker i's pod: AF_UNIX between these two, TCP to all others."""

    @property
    def share(self) -> int:
        """Bytes on each server."""
        return self.size // self.servers

    @property
    def moved(self) -> int:
        """Bytes that all workers push and pull in a step."""
        return 2 * self.size * self.workers

    def part(self, server: int) -> slice:
        """Elements on one server."""
        share = self.share // ITEM_BYTES
        return slice(server * share, (server + 1) * share)


@dataclass(frozen=True)
class Place:
    """Where a process stands."""

    cell: Cell
    index: int
    """Of the server, or rank of the worker."""
    folder: Path
    """For files of this peer's processes."""
    chunk: int = WHOLE
    host: Any = None
    servers: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Peer:
    name: str
    """In the results."""
    title: str
    module: str
    """Of this package."""
    transports: tuple[str, ...] = (TCP, UNIX)
    allreduce: bool = False
    """Among workers, without servers."""
    hosted: bool = False
    chunk: int = WHOLE
    """Bytes of a message, where the peer can be used in both ways."""
    spins: bool = False
    """Its processes use the CPU when nothing is asked of them: they are stopped meanwhile."""


MIB = 1024 * 1024
TRIREME = Peer("trireme", "Trireme", "trireme_ps")
SOCKETS = Peer("sockets", "bare sockets", "sockets")
GRPC = Peer("grpc", "gRPC, one message", "grpc_stream")
GRPC_CHUNKED = Peer("grpc_chunked", "gRPC, 1 MiB messages", "grpc_stream", chunk=MIB)
ZMQ = Peer("zeromq", "pyzmq, 2 MiB messages", "zeromq", chunk=2 * MIB)
TORCH_RPC = Peer("torch_rpc", "torch RPC, one call", "torch_rpc", spins=True)
TORCH_RPC_CHUNKED = Peer("torch_rpc_chunked", "torch RPC, 4 MiB calls", "torch_rpc", chunk=4 * MIB, spins=True)
GLOO = Peer("torch_gloo", "torch gloo allreduce", "torch_gloo", transports=(TCP,), allreduce=True)
HOROVOD = Peer(
    "horovod", "Horovod allreduce", "horovod_gloo", transports=(TCP,), allreduce=True, hosted=True, spins=True
)
PEERS = (SOCKETS, TRIREME, GRPC, GRPC_CHUNKED, ZMQ, TORCH_RPC, TORCH_RPC_CHUNKED, GLOO, HOROVOD)
"""Chunked: with the chunks that were fastest for 4 and 64 MiB on the machine of the results."""


def view(tensor: torch.Tensor) -> memoryview:
    """Its bytes, shared with it."""
    return memoryview(tensor.numpy()).cast("B")


def chunks(length: int, chunk: int) -> list[slice]:
    return [slice(at, min(at + chunk, length)) for at in range(0, length, chunk)]


def empty(size: int) -> torch.Tensor:
    """float32 of so many bytes, all pages touched: later page faults would count as moving."""
    return torch.zeros(size // ITEM_BYTES)


def gradient(cell: Cell) -> torch.Tensor:
    return torch.ones(cell.size // ITEM_BYTES)
