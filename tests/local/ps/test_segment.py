"""Bodies in memory that both ends map, on real sockets, memfds and eventfds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import psgroup
from support.desk import wait_for
from trireme_worker.comm.ps import segment, sharing, transport
from trireme_worker.comm.ps.errors import BadFrame, Lost, Refused
from trireme_worker.comm.ps.frame import MAPPED, Header, Kind
from trireme_worker.comm.ps.transport import Wire

KIB = 1024


@contextlib.contextmanager
def pair() -> Iterator[tuple[Wire, Wire]]:
    """A client's and a server's end that share a segment."""
    near, far = (Wire(sock) for sock in socket.socketpair())
    try:
        psgroup.together(lambda: sharing.accept(near), lambda: sharing.offer(far))
        yield near, far
    finally:
        near.close()
        far.close()


def parts(data: bytes, seed: int) -> list[memoryview]:
    """The same bytes, cut at random."""
    cuts = sorted(random.Random(seed).sample(range(1, len(data)), 5))
    return transport.views(*(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:trireme-ps")


@pytest.mark.parametrize(
    "size",
    [
        segment.LEAST_BYTES - 1,
        segment.LEAST_BYTES,
        segment.PULL_BYTES,
        segment.PUSH_BYTES,
        segment.PUSH_BYTES + 1,
        4 * segment.PUSH_BYTES + 12345,
    ],
    ids=["on the socket", "least", "one pull's place", "one push's place", "a byte more", "many pieces"],
)
def test_bodies_arrive_whole_in_both_directions_at_once(size: int) -> None:
    sent = {end: random.Random(end).randbytes(size) for end in (0, 1)}
    with pair() as wires:

        def send(end: int) -> None:
            for number in range(3):
                wires[end].send(Header(Kind.PUSH, number=number, flags=1), b"meta", parts(sent[end], number))

        def receive(end: int) -> None:
            for number in range(3):
                header = wires[end].receive()
                assert header == Header(Kind.PUSH, number=number, flags=1, meta=4, body=size)
                assert bytes(wires[end].receive_bytes(4)) == b"meta"
                into = bytearray(size)
                wires[end].receive_into(parts_of(into))
                assert into == sent[1 - end]

        psgroup.together(*(lambda end=end, do=do: do(end) for do in (send, receive) for end in (0, 1)))


def parts_of(into: bytearray) -> list[memoryview]:
    view, third = memoryview(into), len(into) // 3
    return [view[:third], view[third : 2 * third], view[2 * third :]]


def test_a_body_that_is_not_wanted_is_read_away() -> None:
    with pair() as (near, far):
        thread = threading.Thread(target=near.send, args=(Header(Kind.PUSH), b"m", transport.views(bytes(4 << 20))))
        thread.start()
        far.receive()
        far.drain()
        thread.join()
        near.send(Header(Kind.PING))
        assert (far.left, far.receive().kind) == (0, Kind.PING)


def test_a_body_is_lent_where_it_lies() -> None:
    data = random.Random(1).randbytes(segment.PUSH_BYTES)
    with pair() as (near, far):
        for _ in range(2):
            near.send(Header(Kind.PUSH), body=transport.views(data))
            far.receive()
            lent = far.borrow()
            assert lent is not None
            assert lent == data
            far.give_back()
            assert far.left == 0


def test_a_body_in_pieces_is_not_lent() -> None:
    with pair() as (near, far):
        thread = threading.Thread(
            target=near.send, args=(Header(Kind.PUSH), b"", transport.views(bytes(segment.PUSH_BYTES + 4)))
        )
        thread.start()
        far.receive()
        assert far.borrow() is None
        far.drain()
        thread.join()


def test_who_waits_for_a_peer_that_goes_is_told() -> None:
    body = transport.views(bytes(3 * segment.PUSH_BYTES))
    with pair() as (near, far):
        errors: list[Lost] = []

        def send() -> None:
            with pytest.raises(Lost) as caught:
                near.send(Header(Kind.PUSH), body=body)
            errors.append(caught.value)

        thread = threading.Thread(target=send)
        thread.start()
        far.receive()
        far.close()
        thread.join(5)
        assert [str(error) for error in errors] == [
            "the connection was lost while sending: the peer closed the connection"
        ]


def test_who_waits_at_an_end_that_is_closed_is_told() -> None:
    with pair() as (near, far):
        near._socket.sendall(transport.frame.pack(Header(Kind.PUSH, flags=MAPPED, body=1 << 20)))
        header = far.receive()
        closing = threading.Timer(0.05, far.close)
        closing.start()
        with pytest.raises(Lost):
            far.receive_bytes(header.body)
        closing.join()


def test_who_is_within_a_body_when_its_end_is_closed_is_told() -> None:
    with pair() as (near, far):
        far.send(Header(Kind.VALUES), b"", transport.views(bytes(segment.LEAST_BYTES)))
        half = bytearray(near.receive().body // 2)
        near.receive_into(transport.views(half))
        near.close()
        with pytest.raises(Lost, match="the connection was closed"):
            near.receive_into(transport.views(half))


def test_a_silent_peer_is_given_up() -> None:
    with pair() as (near, far):
        far.limit(0.05)
        near._socket.sendall(transport.frame.pack(Header(Kind.PUSH, flags=MAPPED, body=1 << 20)))
        with pytest.raises(Lost, match="said nothing for too long"):
            far.receive_bytes(far.receive().body)


def test_nobody_reads_beyond_what_was_announced() -> None:
    with pair() as (near, far):
        near.send(Header(Kind.PUSH), body=transport.views(bytes(segment.LEAST_BYTES)))
        header = far.receive()
        with pytest.raises(BadFrame, match="announces more than it has"):
            far.receive_bytes(header.body + 1)


def test_a_body_in_memory_that_is_not_shared_is_refused() -> None:
    near, far = (Wire(sock) for sock in socket.socketpair())
    with contextlib.closing(near), contextlib.closing(far):
        near._socket.sendall(transport.frame.pack(Header(Kind.PUSH, flags=MAPPED, body=100)))
        with pytest.raises(BadFrame, match="and there is none"):
            far.receive()


@pytest.mark.parametrize(
    ("size", "seals"), [(segment.SEGMENT_BYTES, 0), (4096, segment.SEALS)], ids=["not sealed", "short"]
)
def test_memory_that_could_shrink_is_not_mapped(size: int, seals: int) -> None:
    before = open_files()
    near, far = (Wire(sock) for sock in socket.socketpair())
    with contextlib.closing(near), contextlib.closing(far):
        memory = os.memfd_create("forged", os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, size)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals)
        files = [memory, *(os.eventfd(0) for _ in range(4))]
        far.send_files(Header(Kind.SEGMENT), files)
        for each in files:
            os.close(each)
        with pytest.raises(BadFrame, match="is not 4194304 bytes that stay"):
            sharing.accept(near)
    assert open_files() == before


def test_without_shared_memory_everything_stays_on_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> int:
        raise OSError("no memory to share")

    monkeypatch.setattr(os, "memfd_create", none)
    with psgroup.group(workers=1) as group:
        assert trained(group) == [1.0] * 200_000


def test_a_client_that_cannot_map_stays_on_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    share = Wire.share

    def cannot(wire: Wire, files: list[int], server: bool) -> None:
        if not server:
            for each in files:
                os.close(each)
            raise OSError("no mapping")
        share(wire, files, server)

    monkeypatch.setattr(Wire, "share", cannot)
    with psgroup.group(workers=1) as group:
        assert trained(group) == [1.0] * 200_000


def test_with_it_bodies_do_not_touch_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    sendall = transport._send_all

    def counted(sock: socket.socket, parts: list[memoryview]) -> None:
        seen.append(sum(map(len, parts)))
        sendall(sock, parts)

    monkeypatch.setattr(transport, "_send_all", counted)
    with psgroup.group(workers=1) as group:
        assert trained(group) == [1.0] * 200_000
    assert max(seen) < 4 * KIB


def trained(group: psgroup.Group) -> list[float]:
    client = group.client(0)
    out = torch.zeros(200_000)
    client.register("t", out)
    client.wait(client.push_pull("t", torch.ones(200_000), out))
    found: list[float] = out.tolist()
    return found


def test_a_refused_push_leaves_the_place_to_the_next_one() -> None:
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("t", torch.zeros(200_000))
        with pytest.raises(Refused, match="NaN or infinite"):
            client.wait(client.push("t", torch.full((200_000,), float("nan"))))
        client.wait(client.push("t", torch.ones(200_000)))
        assert client.pull("t").tolist() == [1.0] * 200_000


def test_what_is_shared_goes_with_the_connection() -> None:
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("t", torch.zeros(200_000))
        client.wait(client.push("t", torch.ones(200_000)))
        client.close()
        wait_for(lambda: not group.servers[0]._conversations)
        files, mapped = open_files(), mappings()
        for _ in range(3):
            again = group.client(0)
            again.register("t", torch.zeros(200_000))
            again.wait(again.push("t", torch.ones(200_000)))
            again.close()
            wait_for(lambda: not group.servers[0]._conversations)
        assert (open_files(), mappings()) == (files, mapped)
    assert mappings() == 0


def test_lent_memory_outlives_its_connection() -> None:
    with pair() as (near, far):
        near.send(Header(Kind.PUSH), body=transport.views(b"x" * segment.PUSH_BYTES))
        far.receive()
        lent = far.borrow()
        far.close()
        far.give_back()
        near.close()
        assert lent == b"x" * segment.PUSH_BYTES
        del lent
    assert mappings() == 0
