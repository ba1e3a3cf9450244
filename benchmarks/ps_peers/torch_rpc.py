"""torch.distributed.rpc over TensorPipe: libuv with TCP, or shared memory with cross-memory attach on one host."""

from __future__ import annotations

import threading
import warnings

import torch
from torch.distributed import rpc

from ps_peers import ITEM_BYTES, UNIX, Cell, Place, Ready, Step, chunks, empty, gradient

_table = torch.empty(0)


def expected(cell: Cell) -> float:
    return 1.0


def serve(place: Place, ready: Ready) -> None:
    global _table
    _table = empty(place.cell.share)
    ready(f"server{place.index}")
    _join(place, f"server{place.index}", place.cell.workers + place.index)
    threading.Event().wait()


def work(place: Place) -> Step:
    cell = place.cell
    _join(place, f"worker{place.index}", place.index)
    pushed, pulled = gradient(cell), empty(cell.size)
    pieces = [
        (server, piece, part.start + piece.start, part.start + piece.stop)
        for server, part in ((address, cell.part(index)) for index, address in enumerate(place.servers))
        for piece in chunks(cell.share // ITEM_BYTES, place.chunk // ITEM_BYTES)
    ]

    def step() -> torch.Tensor:
        pushes = [rpc.rpc_async(server, push, (piece, pushed[start:stop])) for server, piece, start, stop in pieces]
        for push_done in pushes:
            push_done.wait()
        pulls = [(start, stop, rpc.rpc_async(server, pull, (piece,))) for server, piece, start, stop in pieces]
        for start, stop, values in pulls:
            pulled[start:stop].copy_(values.wait())
        return pulled

    return step


def push(piece: slice, values: torch.Tensor) -> None:
    _table[piece].copy_(values)


def pull(piece: slice) -> torch.Tensor:
    return _table[piece]


def _join(place: Place, name: str, rank: int) -> None:
    cell = place.cell
    same_host = cell.transport == UNIX
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is in maintenance
        options = rpc.TensorPipeRpcBackendOptions(
            init_method=f"file://{place.folder}/rpc",
            _transports=["shm"] if same_host else ["uv"],
            _channels=["cma", "basic"] if same_host else ["basic"],
        )
        rpc.init_rpc(name, rank=rank, world_size=cell.workers + cell.servers, rpc_backend_options=options)
