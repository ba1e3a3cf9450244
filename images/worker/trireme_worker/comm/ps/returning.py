"""How two ends that are not on one host get a connection for each direction, after the greeting and before all else.

    server  RETURN    with a ticket
    client  greets by a second connection, as before and with the ticket; answers come by it from now on

One socket for both would serve neither well: the kernel locks it for as long as a send or a receive copies, so that the
two take turns, and each wakes the other for what it does not wait for. AF_UNIX has no such lock, and nothing is said.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
from dataclasses import replace

from trireme.contract.wire import Serving

from trireme_worker.comm.ps import frame, greeting, transport
from trireme_worker.comm.ps.errors import BadFrame, Lost
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.greeting import Caller, Host
from trireme_worker.comm.ps.transport import Wire

TICKET_BYTES = 16


class Returns:
    """The accepting end's: connections that wait for another one, which their answers take."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awaited: dict[str, queue.SimpleQueue[Wire | None]] = {}

    def offer(self, wire: Wire) -> None:
        """Waits for the second connection. Raises Lost."""
        if wire.near:
            return
        ticket, brought = secrets.token_hex(TICKET_BYTES), queue.SimpleQueue[Wire | None]()
        with self._lock:
            self._awaited[ticket] = brought
        second = None
        try:
            wire.send(Header(Kind.RETURN), ticket.encode())
            with contextlib.suppress(queue.Empty):
                second = brought.get(timeout=transport.GREETING_SECONDS)
        finally:
            with self._lock:
                self._awaited.pop(ticket, None)
        if second is None and not brought.empty():
            second = brought.get()  # at the last moment
        if second is None:
            raise Lost("the peer opened no connection for its answers")
        wire.send_by(second)

    def bring(self, wire: Wire, ticket: str) -> None:
        """A second connection has greeted. Raises BadFrame when nobody waits for it."""
        with self._lock:
            brought = self._awaited.pop(ticket, None)
            if brought is not None:
                brought.put(wire)
                return
        raise BadFrame("no connection waits for this one")

    def close(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            for brought in self._awaited.values():
                brought.put(None)


def accept(wire: Wire, serving: Serving, token: bytes, caller: Caller, host: Host) -> None:
    """The connecting end. Raises Lost, BadFrame, Unauthenticated."""
    if wire.near:
        return
    header = wire.receive(frame.GREETING_MAX)
    ticket = wire.receive_bytes(header.meta).decode(errors="replace")
    if header.kind is not Kind.RETURN:
        raise BadFrame(f"expected RETURN, got {header.kind.name}")
    second = transport.connect(serving.address, serving.port)
    try:
        if greeting.greet(second, token, replace(caller, ticket=ticket)) != host:
            raise Lost(f"server {serving.index} is not at {serving.address}:{serving.port} any more")
    except BaseException:
        second.close()
        raise
    wire.receive_by(second)
