"""The manifest is read whole, as it was written, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme_worker.checkpoint import manifest as manifests
from trireme_worker.checkpoint.errors import Torn
from trireme_worker.checkpoint.manifest import File, Manifest

MANIFEST = Manifest(120, 2, "team/digits", ("model",), {"rank-00000.pt": File(5, "ab"), "rank-00001.pt": File(7, "cd")})
DATA = manifests.encode(MANIFEST)


def test_what_is_written_is_read():
    assert manifests.decode(DATA) == MANIFEST


@pytest.mark.parametrize("length", range(len(DATA)))
def test_a_shorter_one_is_torn(length):
    with pytest.raises(Torn):
        manifests.decode(DATA[:length])


@given(at=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_anywhere(at, bit):
    flipped = bytearray(DATA)
    flipped[at] ^= 1 << bit
    with pytest.raises(Torn):
        manifests.decode(bytes(flipped))


def test_a_sound_file_of_another_form_is_none_of_ours():
    body = b'{"steps":120}'
    with pytest.raises(Torn, match=r"^manifest: message has unknown fields \['steps'\]$"):
        manifests.decode(f"trireme-checkpoint/1 {manifests.digest(body)}\n".encode() + body)
