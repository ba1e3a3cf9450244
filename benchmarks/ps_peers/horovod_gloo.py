"""Horovod's allreduce by gloo: an average in place. Its key-value store has a process of its own, idle once it runs."""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import horovod.torch as hvd
import torch

from ps_peers import Cell, Place, Ready, Step, gradient


def expected(cell: Cell) -> float:
    return 1.0


class _Store(BaseHTTPRequestHandler):
    values: dict[str, bytes] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        value = self.values.get(self.path)
        self._answer(404 if value is None else 200, value or b"")

    def do_PUT(self) -> None:
        self.values[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def do_DELETE(self) -> None:
        self._answer(200)

    def _answer(self, code: int, body: bytes = b"") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def host(place: Place, ready: Ready) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Store)
    ready(server.server_port)
    server.serve_forever()


def work(place: Place) -> Step:
    rank, size = str(place.index), str(place.cell.workers)
    os.environ |= {
        "HOROVOD_RANK": rank,
        "HOROVOD_SIZE": size,
        "HOROVOD_LOCAL_RANK": "0",
        "HOROVOD_LOCAL_SIZE": "1",
        "HOROVOD_CROSS_RANK": rank,
        "HOROVOD_CROSS_SIZE": size,
        "HOROVOD_HOSTNAME": f"worker-{rank}",
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
        "HOROVOD_GLOO_IFACE": "lo",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": "127.0.0.1",
        "HOROVOD_GLOO_RENDEZVOUS_PORT": str(place.host),
    }
    hvd.init()
    values = gradient(place.cell)

    def step() -> torch.Tensor:
        hvd.allreduce_(values, name="gradient", op=hvd.Average)
        return values

    return step
