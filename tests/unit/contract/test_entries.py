import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.contract import entries
from trireme.contract.codec import BadMessage


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=50)), max_size=10))
def test_they_come_back(pairs):
    assert entries.decode(entries.encode(pairs)) == pairs


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0\0\0", id="half a length"),
        pytest.param(b"\0\0\0\1\0\0\0\1a", id="no value"),
        pytest.param(b"\0\0\0\1\0\0\0\0\xff", id="key is not text"),
    ],
)
def test_broken_ones_are_refused(data):
    with pytest.raises(BadMessage):
        entries.decode(data)
