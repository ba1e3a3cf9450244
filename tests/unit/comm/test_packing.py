from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from trireme_worker.comm.ps.filters import BadMessage, Context, Message, chain, most_bytes, pack, unpack

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int32, torch.int64]
WHOLE = Message(
    torch.tensor([0, 3, 70_000]),
    torch.tensor([[1.5, -2.0], [0.0, 4.0], [float("inf"), 1e-30]]),
    {"int8.scale": torch.tensor([0.5]), "rate": 0.25, "count": -(2**62), "keys": torch.arange(16, dtype=torch.uint8)},
)


def wire(message: Message) -> bytes:
    return b"".join(pack(message))


def same(one: Message, other: Message) -> bool:
    return repr(one) == repr(other)


@pytest.mark.parametrize(
    "message",
    [
        WHOLE,
        Message(None, torch.arange(5.0)),
        Message(None, torch.empty(0)),
        Message(torch.empty(0, dtype=torch.int64), torch.empty(0, 7)),
        Message(torch.tensor([2**40, 1]), torch.zeros(2)),
        Message(None, torch.arange(12.0).view(3, 4).t()),
        *(Message(None, torch.tensor([3, 1, 2]).to(dtype)) for dtype in DTYPES),
    ],
    ids=lambda message: f"{message.values.dtype}{tuple(message.values.shape)}",
)
def test_a_message_comes_back(message: Message) -> None:
    got = unpack(wire(message))
    assert same(got, message)
    assert got.indices is None or got.indices.dtype == torch.int64


def test_tensors_are_neither_copied_when_sent_nor_when_received() -> None:
    values = torch.arange(1000.0)
    buffers = pack(Message(None, values))
    assert len(buffers) == 3
    received = bytearray(b"".join(buffers))
    got = unpack(received).values
    values.zero_()
    assert bytes(buffers[-1]) == bytes(4000)
    received[-4:] = struct.pack("<f", 7.0)
    assert got[-1] == 7.0


def test_small_indices_take_four_bytes() -> None:
    few, many = (Message(torch.arange(count), torch.zeros(0)) for count in (0, 1000))
    assert len(wire(many)) - len(wire(few)) == 4000


def test_the_format_is_this() -> None:
    """Another version of it must have another number."""
    message = Message(torch.tensor([1, 2]), torch.tensor([0.5, 1.0]), {"r": 2.0})
    header = b"TrMs\x01\x03" + struct.pack("<H", 55)
    values = b"\x06\x02\x01values" + struct.pack("<Q", 2)
    indices = b"\x07\x07\x01indices" + struct.pack("<Q", 2)
    rate = b"\x01\x00\x00r" + struct.pack("<d", 2.0)
    data = struct.pack("<2f", 0.5, 1.0) + bytes(8) + struct.pack("<2i", 1, 2)
    assert wire(message) == header + values + indices + rate + bytes(9) + data


@pytest.mark.parametrize(
    "filters", [[], ["int8"], ["topk", "fp16"], [{"name": "int8", "block": 1}], ["key_caching"]], ids=str
)
@given(rows=st.integers(1, 300), row=st.sampled_from([1, 3]))
def test_no_message_is_longer_than_the_most(filters: list[Any], rows: int, row: int) -> None:
    context, sender = Context("t/0", 1, rows * row, row), chain(filters)
    for message in (Message(None, torch.ones(rows * row)), Message(torch.arange(rows), torch.ones(rows, row))):
        assert len(wire(sender.encode(message, context))) <= most_bytes(rows * row)


SOUND = wire(WHOLE)


@given(cut=st.integers(0, len(SOUND) - 1))
def test_a_message_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(BadMessage):
        unpack(SOUND[:cut])


def test_a_message_with_something_after_it_is_refused() -> None:
    with pytest.raises(BadMessage, match=rf"the message has {len(SOUND) + 1} bytes, its header says {len(SOUND)}"):
        unpack(SOUND + b"\0")


@given(place=st.integers(0, len(SOUND) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_gives_a_message(place: int, byte: int) -> None:
    data = bytearray(SOUND)
    data[place] = byte
    with contextlib.suppress(BadMessage):
        assert isinstance(unpack(data), Message)


@given(tail=st.binary(max_size=200), count=st.integers(0, 255), length=st.integers(0, 65535))
@example(tail=b"", count=0, length=8)
def test_any_bytes_are_refused_or_give_a_message(tail: bytes, count: int, length: int) -> None:
    for data in (tail, struct.pack("<4sBBH", b"TrMs", 1, count, length) + tail):
        with contextlib.suppress(BadMessage):
            assert isinstance(unpack(data), Message)


def part(name: bytes, kind: int, *shape: int) -> bytes:
    return struct.pack("<BBB", len(name), kind, len(shape)) + name + struct.pack(f"<{len(shape)}Q", *shape)


def made(*parts: bytes, data: bytes | None = None) -> bytes:
    header = b"".join(parts)
    length = 8 + len(header)
    padded = b"" if data is None else bytes(-length % 16) + data
    return struct.pack("<4sBBH", b"TrMs", 1, len(parts), length) + header + padded


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "a message of 0 bytes has no header"),
        (b"HTTP" + SOUND[4:], "this is no message of a parameter server"),
        (b"TrMs\x02" + SOUND[5:], "the message has version 2, this end speaks 1"),
        (made(*[part(b"values", 0)] * 17), "a header of 17 parts"),
        (made(), "the message has no values"),
        (made(part(b"values", 0) + bytes(8)), "the message has no values"),
        (made(part(b"values", 9, 1)), "values is of kind 9, which this end does not know"),
        (made(part(b"values", 2, 1, 1, 1)), "3 dimensions"),
        (made(part(b"", 2, 1)), "a name of 0 bytes"),
        (made(part(b"\xff", 2, 1)), "cut off or broken"),
        (made(part(b"values", 2, 2**63, 2**63)), "a tensor of"),
        (made(part(b"values", 2, 2**63, 0)), "a tensor of"),
        (made(part(b"values", 2, 2**20)), "a tensor of"),
        (made(part(b"values", 2, 0), part(b"values", 2, 0), data=b""), "the message has values twice"),
        (
            made(part(b"values", 2, 1), part(b"indices", 2, 1), data=bytes(20)),
            "indices are not a list of whole numbers",
        ),
        (made(part(b"values", 2, 1), part(b"indices", 8, 1, 1), data=bytes(24)), "indices are not a list"),
        (made(part(b"values", 2, 0), part(b"indices", 1) + bytes(8), data=b""), "indices are not a list"),
    ],
    ids=str,
)
def test_a_message_that_makes_no_sense_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(BadMessage, match=complaint):
        unpack(data)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (Message(None, torch.zeros(1, dtype=torch.float64)), "values: no message carries torch.float64"),
        (Message(None, torch.zeros(1, 1, 1)), "of 3 dimensions"),
        (Message(None, torch.zeros(1), {"values": 1}), "no extra named values or indices"),
        (Message(None, torch.zeros(1), {"x" * 33: 1}), "the name of a part has 1 to 32 characters"),
        (Message(None, torch.zeros(1), {f"e{i}": 1 for i in range(16)}), "a message has at most 16 parts"),
    ],
    ids=["dtype", "shape", "name taken", "long name", "many"],
)
def test_a_message_that_cannot_be_said_is_refused(message: Message, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        pack(message)
