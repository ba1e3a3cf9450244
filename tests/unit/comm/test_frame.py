from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme_worker.comm.ps import frame
from trireme_worker.comm.ps.errors import BadFrame
from trireme_worker.comm.ps.frame import Header, Kind

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
HEADERS = st.builds(
    Header, st.sampled_from(Kind), U64, U32, U32, U32, U64, st.none() | st.floats(allow_nan=False),
    st.integers(0, 65535), st.integers(0, 65535), st.integers(0, frame.META_MAX), st.integers(0, frame.BODY_MAX),
)  # fmt: skip


@given(HEADERS)
def test_a_header_comes_back(header: Header) -> None:
    assert frame.unpack(frame.pack(header)) == header


@given(st.binary(min_size=frame.HEADER_BYTES, max_size=frame.HEADER_BYTES))
def test_no_other_bytes_are_a_header(data: bytes) -> None:
    with pytest.raises(BadFrame):
        frame.unpack(data)


@given(HEADERS, st.integers(0, frame.HEADER_BYTES * 8 - 1))
def test_a_flipped_bit_is_noticed(header: Header, bit: int) -> None:
    data = bytearray(frame.pack(header))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadFrame):
        frame.unpack(data)


def forged(at: int, value: bytes) -> bytes:
    """A header with these bytes and the right checksum."""
    data = bytearray(frame.pack(Header(Kind.PUSH, meta=1, body=1)))[:-4]
    data[at : at + len(value)] = value
    return bytes(data) + struct.pack("!I", zlib.crc32(data))


BODY_AT, META_AT = frame.HEADER_BYTES - 16, frame.HEADER_BYTES - 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GET / HTTP/1.1\r\n" + bytes(64), r"not the parameter server's protocol: it begins with b'GE'"),
        (forged(2, b"\x09"), "the peer speaks version 9 of the protocol, this process version 3: all pods"),
        (forged(3, b"\xc8"), "no message of kind 200"),
        (forged(BODY_AT, b"\xff" * 4), "the body of a frame has 4294967295 bytes, at most 268435456 are allowed"),
        (forged(META_AT, b"\xff" * 4), "the meta of a frame has 4294967295 bytes, at most 16777216 are allowed"),
    ],
    ids=["http", "version", "kind", "body", "meta"],
)
def test_what_is_wrong_is_said(data: bytes, message: str) -> None:
    with pytest.raises(BadFrame, match=message):
        frame.unpack(data)


def test_too_long_a_frame_is_not_sent() -> None:
    with pytest.raises(BadFrame, match="at most"):
        frame.pack(Header(Kind.PUSH, body=frame.BODY_MAX + 1))
