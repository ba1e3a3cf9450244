"""The limit: blocking sockets, preallocated buffers, nothing but sendall and recv_into."""

from __future__ import annotations

import socket
import threading

import torch

from ps_peers import TCP, UNIX, Cell, Place, Ready, Step, empty, gradient, view

BUFFER_BYTES = {TCP: 256 * 1024, UNIX: 1024 * 1024}
"""Asked of the kernel in both directions: the fastest of the kernel's own choice and 128 KiB to 4 MiB."""


def expected(cell: Cell) -> float:
    return 1.0


def serve(place: Place, ready: Ready) -> None:
    listener = _socket(place.cell)
    listener.bind(str(place.folder / f"s{place.index}") if place.cell.transport == UNIX else ("127.0.0.1", 0))
    listener.listen()
    ready(listener.getsockname())
    table = view(empty(place.cell.share))
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection, table), daemon=True).start()


def work(place: Place) -> Step:
    cell, connections = place.cell, []
    for address in place.servers:
        connection = _socket(cell)
        connection.connect(address)
        connections.append(connection)
    pushed, pulled = gradient(cell), empty(cell.size)
    out = [view(pushed[cell.part(server)]) for server in range(cell.servers)]
    into = [view(pulled[cell.part(server)]) for server in range(cell.servers)]

    def step() -> torch.Tensor:
        for connection, part in zip(connections, out, strict=True):
            connection.sendall(part)
        for connection, part in zip(connections, into, strict=True):
            _fill(connection, part)
        return pulled

    return step


def _answer(connection: socket.socket, table: memoryview) -> None:
    while True:
        _fill(connection, table)
        connection.sendall(table)


def _fill(connection: socket.socket, part: memoryview) -> None:
    while part:
        count = connection.recv_into(part, 0, socket.MSG_WAITALL)
        if not count:
            raise ConnectionError("the other end is gone")
        part = part[count:]


def _socket(cell: Cell) -> socket.socket:
    made = socket.socket(socket.AF_UNIX if cell.transport == UNIX else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES[cell.transport])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES[cell.transport])
    if cell.transport != UNIX:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
