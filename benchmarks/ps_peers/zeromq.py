"""pyzmq: DEALER and ROUTER, messages that are sent without a copy and copied once into their place."""

from __future__ import annotations

import torch
import zmq

from ps_peers import UNIX, Cell, Place, Ready, Step, chunks, empty, gradient, view


def expected(cell: Cell) -> float:
    return 1.0


def serve(place: Place, ready: Ready) -> None:
    router = zmq.Context().socket(zmq.ROUTER)
    router.setsockopt(zmq.SNDHWM, 0)
    router.setsockopt(zmq.RCVHWM, 0)
    if place.cell.transport == UNIX:
        router.bind(f"ipc://{place.folder}/z{place.index}")
    else:
        router.bind("tcp://127.0.0.1:0")
    ready(router.getsockopt_string(zmq.LAST_ENDPOINT))
    table = view(empty(place.cell.share))
    filled: dict[bytes, int] = {}
    while True:
        sender, chunk = router.recv_multipart(copy=False)
        at = filled.get(sender.bytes, 0)
        table[at : at + len(chunk.buffer)] = chunk.buffer
        filled[sender.bytes] = at + len(chunk.buffer)
        if filled[sender.bytes] == len(table):
            filled[sender.bytes] = 0
            for piece in chunks(len(table), place.chunk):
                router.send_multipart([sender.bytes, table[piece]], copy=False)


def work(place: Place) -> Step:
    cell, context, dealers = place.cell, zmq.Context(), []
    for address in place.servers:
        dealer = context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.SNDHWM, 0)
        dealer.setsockopt(zmq.RCVHWM, 0)
        dealer.connect(address)
        dealers.append(dealer)
    pushed, pulled = gradient(cell), empty(cell.size)
    out = [view(pushed[cell.part(server)]) for server in range(cell.servers)]
    into = [view(pulled[cell.part(server)]) for server in range(cell.servers)]

    def step() -> torch.Tensor:
        for dealer, part in zip(dealers, out, strict=True):
            for piece in chunks(len(part), place.chunk):
                dealer.send(part[piece], copy=False)
        for dealer, part in zip(dealers, into, strict=True):
            at = 0
            while at < len(part):
                received = dealer.recv(copy=False).buffer
                part[at : at + len(received)] = received
                at += len(received)
        return pulled

    return step
