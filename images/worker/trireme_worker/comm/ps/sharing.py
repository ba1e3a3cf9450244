"""How two ends on one host agree on a segment, after the greeting and before all else.

    server  SEGMENT   with the segment's files, or without any when it has none to give
    client  SEGMENT   code 0: it has mapped it; 1: it cannot, and everything stays on the socket

Over TCP nothing is said. What goes wrong here costs speed, not the connection.
"""

from __future__ import annotations

import logging
import os

from trireme_worker.comm.ps import segment
from trireme_worker.comm.ps.errors import BadFrame, Lost
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.transport import Wire

log = logging.getLogger(__name__)

MAPPED, NOT_MAPPED = 0, 1


def offer(wire: Wire) -> None:
    """The accepting end. Raises Lost and BadFrame."""
    if not wire.near:
        return
    try:
        files = segment.files()
    except OSError as error:
        log.info("no shared memory for a peer on this host: %s", error)
        files = []
    try:
        wire.send_files(Header(Kind.SEGMENT), files)
        answer = wire.receive(0)
        if answer.kind is not Kind.SEGMENT:
            raise BadFrame(f"expected SEGMENT, got {answer.kind.name}")
        if files and answer.code == MAPPED:
            files, given = [], files
            if not _mapped(wire, given, server=True):
                raise Lost("the client has mapped memory that this server cannot map")
    finally:
        for each in files:
            os.close(each)


def accept(wire: Wire) -> None:
    """The connecting end. Raises Lost and BadFrame."""
    if not wire.near:
        return
    header, files = wire.receive_files(segment.FILES)
    if header.kind is not Kind.SEGMENT or len(files) not in (0, segment.FILES):
        for each in files:
            os.close(each)
        raise BadFrame(f"expected SEGMENT with {segment.FILES} files or none, got {header.kind.name} with {len(files)}")
    code = MAPPED if files and _mapped(wire, files, server=False) else NOT_MAPPED
    wire.send(Header(Kind.SEGMENT, code=code))


def _mapped(wire: Wire, files: list[int], server: bool) -> bool:
    try:
        wire.share(files, server)
    except OSError as error:
        log.info("shared memory cannot be mapped: %s", error)
        return False
    return True
