"""The greeting, and peers that misbehave, on real sockets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support import psgroup
from trireme.contract.wire import Serving
from trireme_worker.comm.ps import frame, greeting, transport
from trireme_worker.comm.ps.channel import Channel
from trireme_worker.comm.ps.errors import BadFrame, Lost, ParameterServerError, Unauthenticated
from trireme_worker.comm.ps.frame import Header, Kind
from trireme_worker.comm.ps.greeting import Caller, Host
from trireme_worker.comm.ps.transport import Wire

CALLER, HOST = Caller("worker", 3, "session", 4, 1), Host(2, "incarnation")


@contextlib.contextmanager
def pair() -> Iterator[tuple[Wire, Wire]]:
    wires = [Wire(sock) for sock in socket.socketpair()]
    try:
        yield wires[0], wires[1]
    finally:
        for wire in wires:
            wire.close()


def meet(client: bytes, server: bytes, host: object = HOST) -> list[object]:
    """What each end got, or its error."""
    outcomes: list[object] = [None, None]
    with pair() as (near, far):

        def answer() -> None:
            try:
                outcomes[1] = greeting.receive(far, server, host)  # type: ignore[arg-type]
            except ParameterServerError as error:
                outcomes[1] = error
                far.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            outcomes[0] = greeting.greet(near, client, CALLER)
        except ParameterServerError as error:
            outcomes[0] = error
            near.close()
        thread.join()
    return outcomes


def test_two_ends_with_the_token_know_each_other() -> None:
    assert meet(b"token", b"token") == [HOST, CALLER]


def test_a_server_without_the_token_learns_nothing() -> None:
    ours, theirs = meet(b"token", b"other")
    assert isinstance(ours, Unauthenticated)
    assert "the server does not have this job's token" in str(ours)
    assert isinstance(theirs, Lost)


def test_a_welcome_that_cannot_be_understood_is_a_bad_frame() -> None:
    ours, _ = meet(b"token", b"token", host=CALLER)
    assert (type(ours), str(ours)) == (
        BadFrame,
        "message has unknown fields ['generation', 'role', 'session', 'size', 'ticket']",
    )


def test_whatever_ends_the_greeting_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def greet(*_: object) -> Host:
        raise MemoryError

    monkeypatch.setattr(greeting, "greet", greet)
    with pair() as (near, far):
        monkeypatch.setattr(transport, "connect", lambda *_: near)
        with pytest.raises(MemoryError):
            Channel(Serving(2, "incarnation", "127.0.0.1", 1), b"token", CALLER)
        with pytest.raises(Lost, match="the peer closed the connection"):
            far.receive()


class Recorder:
    """Passes everything on and remembers it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self.seen = sock, b""

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)

    def sendmsg(self, parts: list[memoryview]) -> int:
        self.seen += b"".join(parts)
        return self._sock.sendmsg(parts)


def test_the_token_never_travels() -> None:
    near, far = (Recorder(sock) for sock in socket.socketpair())
    wires = Wire(near), Wire(far)  # type: ignore[arg-type]
    thread = threading.Thread(target=greeting.receive, args=(wires[1], b"the-token", HOST))
    thread.start()
    greeting.greet(wires[0], b"the-token", CALLER)
    thread.join()
    for wire in wires:
        wire.close()
    assert b'"session":"session"' in near.seen
    assert b"the-token" not in near.seen + far.seen


def raw(server: psgroup.Group) -> Wire:
    serving = server.servers[0].serving
    return transport.connect(serving.address, serving.port)


def refusal(wire: Wire) -> str:
    header = wire.receive()
    while header.kind is Kind.CHALLENGE:
        wire.receive_bytes(header.body)
        header = wire.receive()
    assert header.kind is Kind.REFUSED
    return wire.receive_bytes(header.meta).decode()


def test_another_version_is_told_so() -> None:
    with psgroup.group() as group:
        wire = raw(group)
        data = bytearray(frame.pack(Header(Kind.HELLO)))
        data[2] = 9
        wire._socket.sendall(data)
        assert "the peer speaks version 9 of the protocol, this process version 3" in refusal(wire)
        wire.close()


def test_a_stranger_is_told_so() -> None:
    with psgroup.group() as group:
        wire = raw(group)
        wire.send(Header(Kind.HELLO), body=transport.views(bytes(32)))
        wire.send(Header(Kind.PROOF), b"{}", transport.views(bytes(32)))
        assert refusal(wire) == "the proof is wrong: the peer does not have this job's token"
        wire.close()


def test_a_long_greeting_is_not_read() -> None:
    with psgroup.group() as group:
        wire = raw(group)
        wire.send(Header(Kind.HELLO), body=transport.views(bytes(5000)))
        assert refusal(wire) == "the body of a frame has 5000 bytes, at most 4096 are allowed"
        wire.close()


def test_a_silent_peer_is_dropped() -> None:
    with pair() as (near, _):
        near.limit(0.05)
        with pytest.raises(Lost, match="said nothing for too long"):
            near.receive()


@pytest.mark.parametrize("size", [10, frame.HEADER_BYTES + 3], ids=["header", "body"])
def test_a_cut_frame_is_noticed(size: int) -> None:
    with pair() as (near, far):
        data = frame.pack(Header(Kind.PUSH, body=8)) + bytes(8)
        far._socket.sendall(data[:size])
        far.close()
        with pytest.raises(Lost, match="ended in the middle of a frame"):
            near.receive_bytes(near.receive().body)


def test_frames_go_out_in_many_parts_and_come_in_in_others() -> None:
    parts = [struct.pack("!I", number) for number in range(5000)]
    with pair() as (near, far):
        thread = threading.Thread(
            target=near.send, args=(Header(Kind.PUSH, number=7), b"meta", transport.views(*parts))
        )
        thread.start()
        header = far.receive()
        meta, pieces = far.receive_bytes(header.meta), [bytearray(8) for _ in range(2500)]
        far.receive_into(transport.views(*pieces))
        thread.join()
    assert (header, bytes(meta)) == (Header(Kind.PUSH, number=7, meta=4, body=20000), b"meta")
    assert b"".join(pieces) == b"".join(parts)


def test_a_worker_may_not_speak_as_a_server() -> None:
    with psgroup.group() as group:
        group.client(0)
        channel = Channel(group.servers[0].serving, psgroup.TOKEN, Caller("worker", 1, "s", 2))
        with pytest.raises(ParameterServerError, match="a worker may not send INVENTORY"):
            channel.ask(Header(Kind.INVENTORY, view=1))


def test_both_kinds_of_socket_lead_to_the_server() -> None:
    with psgroup.group() as group:
        serving = group.servers[0].serving
        for unix, family in ((serving.socket, socket.AF_UNIX), ("@nobody", socket.AF_INET)):
            wire = transport.connect(serving.address, serving.port, unix)
            assert wire._socket.family == family
            assert greeting.greet(wire, psgroup.TOKEN, CALLER) == Host(0, serving.incarnation)
            wire.close()


def test_bad_frames_end_the_channel_with_what_was_wrong() -> None:
    with pair() as (near, far):
        far._socket.sendall(b"X" * frame.HEADER_BYTES)
        with pytest.raises(BadFrame, match="begins with b'XX'"):
            near.receive()


def tcp(group: psgroup.Group) -> Serving:
    return replace(group.servers[0].serving, socket="")


@pytest.mark.parametrize("direction", ["_incoming", "_outgoing"])
def test_a_channel_has_a_connection_for_each_direction_and_ends_with_either(direction: str) -> None:
    with psgroup.group() as group:
        channel = Channel(tcp(group), psgroup.TOKEN, CALLER)
        channel.ask(Header(Kind.PING))
        wire = channel._wire
        assert wire._incoming is not wire._outgoing
        getattr(wire, direction).shutdown(socket.SHUT_RDWR)
        with pytest.raises(Lost):
            channel.ask(Header(Kind.PING))
        channel.join(5)
        assert not channel.alive
        assert (wire._incoming.fileno(), wire._outgoing.fileno()) == (-1, -1)


def test_within_a_pod_one_connection_is_enough() -> None:
    with psgroup.group() as group:
        channel = Channel(group.servers[0].serving, psgroup.TOKEN, CALLER)
        channel.ask(Header(Kind.PING))
        assert channel._wire._incoming is channel._wire._outgoing
        channel.close()
        channel.join(5)


def test_a_ticket_that_nobody_gave_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with psgroup.group() as group:
        wire = raw(group)
        greeting.greet(wire, psgroup.TOKEN, replace(CALLER, ticket="mine"))
        with pytest.raises(Lost, match="the peer closed the connection"):
            wire.receive()
        wire.close()
    assert "a connection was refused: no connection waits for this one" in caplog.text


def test_who_opens_no_second_connection_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "GREETING_SECONDS", 0.05)
    with psgroup.group() as group:
        wire = raw(group)
        wire.limit(5)
        greeting.greet(wire, psgroup.TOKEN, CALLER)
        wire.receive_bytes(wire.receive().meta)
        with pytest.raises(Lost, match="the peer closed the connection"):
            wire.receive()
        wire.close()
