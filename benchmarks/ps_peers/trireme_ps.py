"""Trireme as its users have it, in Sync: SGD on the servers, NaN refused. Who serves is said in a folder."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from trireme.contract.wire import Serving, View
from trireme_worker.comm.ps.__main__ import tune
from trireme_worker.comm.ps.client import Client, Worker
from trireme_worker.comm.ps.server import Server, Settings

from ps_peers import UNIX, Cell, Place, Ready, Step, empty, gradient

TOKEN = b"of the benchmark"
NEWS_SECONDS = 0.02
HOLD_SECONDS = 60.0
"""How long a question is held when there can be no news: the group does not change."""


def expected(cell: Cell) -> float:
    return -1.0


class Folder:
    """A directory of one view: all servers of the cell, once each has left its file. Implements `view.Directory`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def announce(self, serving: Serving) -> View:
        fresh = self._file(serving.index).with_suffix(".new")
        fresh.write_text(json.dumps(asdict(replace(serving, view=0))))
        fresh.rename(self._file(serving.index))
        return self._view()

    def view(self, after: int, finished: int | None = None) -> View:
        until = time.monotonic() + HOLD_SECONDS
        while (view := self._view()).number <= after and time.monotonic() < until:
            time.sleep(HOLD_SECONDS if after else NEWS_SECONDS)
        return view

    def _view(self) -> View:
        files = [self._file(index) for index in range(self._place.cell.servers)]
        if not all(file.exists() for file in files):
            return View(0, len(files))
        return View(1, len(files), tuple(self._seen(Serving(**json.loads(file.read_text()))) for file in files))

    def _seen(self, serving: Serving) -> Serving:
        """From here: by AF_UNIX only who is in the same pod, or all of them."""
        cell = self._place.cell
        near = cell.transport == UNIX or (cell.colocated and serving.index == self._place.index)
        return serving if near else replace(serving, socket="")

    def _file(self, index: int) -> Path:
        return self._place.folder / f"server-{index}.json"


def serve(place: Place, ready: Ready) -> None:
    tune()
    server = Server(Settings(place.index, TOKEN), Folder(place))
    ready(server.serving)
    threading.Event().wait()


def work(place: Place) -> Step:
    client = Client(Worker(place.index, place.cell.workers, TOKEN), Folder(place))
    pushed, pulled = gradient(place.cell), empty(place.cell.size)
    client.register("parameters", pulled, function={"name": "sgd", "lr": 1.0})

    def step() -> torch.Tensor:
        client.wait(client.push_pull("parameters", pushed, pulled))
        return pulled

    return step
