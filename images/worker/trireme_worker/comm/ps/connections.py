"""A worker's channels, one to each server of the view; a new one is told of all tables before anything else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from trireme.contract.wire import Serving

from trireme_worker.comm.ps.channel import Channel, Reply
from trireme_worker.comm.ps.errors import Lost, ParameterServerError
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.greeting import Caller
from trireme_worker.comm.ps.table import Table

log = logging.getLogger(__name__)

GOODBYE_SECONDS = 5.0
CLOSE_SECONDS = 5.0
"""For a channel's threads: one that lets go of a tensor while the interpreter ends aborts the process."""


class Connections:
    def __init__(self, token: bytes, caller: Caller, tables: Callable[[], Iterable[Table]]) -> None:
        self._token = token
        self._caller = caller
        self._tables = tables
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._channels: dict[int, Channel] = {}
        self._closed = False

    def get(self, serving: Serving) -> Channel | None:
        """The live channel to this server, if there is one."""
        channel = self._channels.get(serving.index)
        if channel is not None and channel.alive and channel.serving.incarnation == serving.incarnation:
            return channel
        return None

    def make(self, serving: Serving) -> Channel:
        """The live channel to this server. Raises ParameterServerError."""
        with self._making:
            channel = self.get(serving)
            if channel is not None:
                return channel
            if self._closed:
                raise Lost("this client was shut down")
            fresh = Channel(serving, self._token, self._caller)
            try:
                for table in self._tables():
                    fresh.ask(Header(Kind.REGISTER), table.encode())
            except ParameterServerError:
                fresh.close()
                raise
            with self._lock:
                old, self._channels[serving.index] = self._channels.get(serving.index), fresh
            if old is not None:
                old.close()
            return fresh

    def keep(self, servings: Iterable[Serving]) -> None:
        """Pings every server of the view, connecting to those that it has no channel to; drops the others' channels."""
        wanted = {serving.index: serving for serving in servings}
        for serving in wanted.values():
            try:
                self.make(serving).ping()
            except ParameterServerError as error:
                log.debug("server %d: %s", serving.index, error)
        with self._lock:
            gone = [self._channels.pop(index) for index in list(self._channels) if index not in wanted]
        for channel in gone:
            channel.close()

    def alive(self) -> list[Channel]:
        with self._lock:
            return [channel for channel in self._channels.values() if channel.alive]

    def close(self, goodbye: bool) -> None:
        """`goodbye`: the servers are told that this worker is done for good."""
        with self._making:
            self._closed = True
        for channel in self.alive():
            if goodbye:
                self._part(channel)
            channel.close()
        with self._lock:
            ended = list(self._channels.values())
        for channel in ended:
            channel.join(CLOSE_SECONDS)

    def _part(self, channel: Channel) -> Reply | None:
        try:
            return channel.ask(Header(Kind.BYE), seconds=GOODBYE_SECONDS)
        except ParameterServerError as error:
            log.debug("server %d did not hear the goodbye: %s", channel.serving.index, error)
            return None
