"""gRPC: a stream of messages each way, bytes without protobuf, no compression, no TLS."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import torch

from ps_peers import UNIX, Cell, Place, Ready, Step, chunks, empty, gradient, view

OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


def expected(cell: Cell) -> float:
    return 1.0


def serve(place: Place, ready: Ready) -> None:
    cell = place.cell
    server = grpc.server(ThreadPoolExecutor(cell.workers), options=OPTIONS)
    table = view(empty(cell.share))

    def push_pull(pushed: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        _fill(table, pushed)
        yield from _chunks(table, place.chunk)

    method = grpc.stream_stream_rpc_method_handler(push_pull)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("ps", {"PushPull": method}),))
    if cell.transport == UNIX:
        address = f"unix:{place.folder}/g{place.index}"
        server.add_insecure_port(address)
    else:
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    ready(address)
    server.wait_for_termination()


def work(place: Place) -> Step:
    cell = place.cell
    calls = [grpc.insecure_channel(address, OPTIONS).stream_stream("/ps/PushPull") for address in place.servers]
    pushed, pulled = gradient(cell), empty(cell.size)
    out = [view(pushed[cell.part(server)]) for server in range(cell.servers)]
    into = [view(pulled[cell.part(server)]) for server in range(cell.servers)]

    def step() -> torch.Tensor:
        answers = [call(_chunks(part, place.chunk), wait_for_ready=True) for call, part in zip(calls, out, strict=True)]
        for answer, part in zip(answers, into, strict=True):
            _fill(part, answer)
        return pulled

    return step


def _chunks(part: memoryview, chunk: int) -> Iterator[bytes]:
    return (bytes(part[piece]) for piece in chunks(len(part), chunk))


def _fill(part: memoryview, chunks: Iterator[bytes]) -> None:
    at = 0
    for chunk in chunks:
        part[at : at + len(chunk)] = chunk
        at += len(chunk)
