"""How two ends prove to each other that they have the job's token, before anything else is read.

    client  HELLO      its nonce
    server  CHALLENGE  its nonce, HMAC(token, "server" | both nonces)
    client  PROOF      HMAC(token, "client" | both nonces | identity), identity (JSON)
    server  WELCOME    identity (JSON)

The token itself never travels, and neither end can be made to answer its own challenge: the words differ.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from trireme.contract import codec

from trireme_worker.comm.ps import frame, transport
from trireme_worker.comm.ps.errors import BadFrame, Lost, Reason, Unauthenticated
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.transport import Wire

NONCE_BYTES = 32
MAC_BYTES = 32


@dataclass(frozen=True)
class Caller:
    """Who connects: a worker, or a server (the chain)."""

    role: str
    index: int
    """Rank of a worker, index of a server."""
    session: str
    """Another one for every process: tells a worker from its successor."""
    size: int = 0
    """Workers that this one knows of (WORLD_SIZE)."""
    generation: int = 0
    """Of the membership that `size` belongs to."""
    ticket: str = ""
    """Of the connection whose answers this one is to carry; empty: it is no such connection."""


@dataclass(frozen=True)
class Host:
    """Who answers."""

    index: int
    incarnation: str


def greet(wire: Wire, token: bytes, caller: Caller) -> Host:
    """The connecting end. Raises Unauthenticated, BadFrame, Lost."""
    mine = secrets.token_bytes(NONCE_BYTES)
    wire.send(Header(Kind.HELLO), body=transport.views(mine))
    answer = _take(wire, Kind.CHALLENGE, NONCE_BYTES + MAC_BYTES)
    theirs, mac = answer[:NONCE_BYTES], answer[NONCE_BYTES:]
    if not hmac.compare_digest(mac, _mac(token, b"server", mine, theirs)):
        raise Unauthenticated(
            "the server does not have this job's token: it belongs to another job, or the token changed"
        )
    identity = codec.encode(caller)
    proof = _mac(token, b"client", mine, theirs, identity)
    wire.send(Header(Kind.PROOF), identity, transport.views(proof))
    try:
        host = codec.decode(Host, _take(wire, Kind.WELCOME))
    except codec.BadMessage as error:
        raise BadFrame(str(error)) from None
    wire.limit(transport.SILENCE_SECONDS)
    return host


def receive(wire: Wire, token: bytes, host: Host) -> Caller:
    """The accepting end; whoever fails is told why. Raises Unauthenticated, BadFrame, Lost."""
    try:
        caller = _receive(wire, token, host)
    except (BadFrame, Unauthenticated, codec.BadMessage) as error:
        with contextlib.suppress(Lost):
            wire.send(Header(Kind.REFUSED, code=Reason.MALFORMED), str(error).encode())
        raise BadFrame(str(error)) if isinstance(error, codec.BadMessage) else error from None
    wire.limit(transport.SILENCE_SECONDS)
    return caller


def _receive(wire: Wire, token: bytes, host: Host) -> Caller:
    theirs = _take(wire, Kind.HELLO, NONCE_BYTES)
    mine = secrets.token_bytes(NONCE_BYTES)
    wire.send(Header(Kind.CHALLENGE), body=transport.views(mine + _mac(token, b"server", theirs, mine)))
    header = wire.receive(frame.GREETING_MAX)
    identity, proof = wire.receive_bytes(header.meta), wire.receive_bytes(header.body)
    if header.kind is not Kind.PROOF or not hmac.compare_digest(proof, _mac(token, b"client", theirs, mine, identity)):
        raise Unauthenticated("the proof is wrong: the peer does not have this job's token")
    caller = codec.decode(Caller, bytes(identity))
    wire.send(Header(Kind.WELCOME), codec.encode(host))
    return caller


def _take(wire: Wire, kind: Kind, size: int | None = None) -> bytes:
    """Body of the next message, or its meta when `size` is None."""
    header = wire.receive(frame.GREETING_MAX)
    meta, body = bytes(wire.receive_bytes(header.meta)), bytes(wire.receive_bytes(header.body))
    if header.kind is Kind.REFUSED:
        raise Unauthenticated(f"the server refused the connection: {meta.decode(errors='replace')}")
    if header.kind is not kind or (size is not None and len(body) != size):
        raise BadFrame(f"expected {kind.name} in the greeting, got {header.kind.name} with {len(body)} bytes")
    return meta if size is None else body


def _mac(token: bytes, role: bytes, *parts: bytes | bytearray) -> bytes:
    return hmac.new(token, b"trireme parameter server 1 " + role + b"".join(parts), hashlib.sha256).digest()
