from dataclasses import dataclass, field
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.contract import codec, wire
from trireme.contract.codec import BadMessage


class Colour(str, Enum):
    RED = "Red"


@dataclass(frozen=True)
class Inner:
    count: int


@dataclass(frozen=True)
class Outer:
    long_name: str
    ratio: float = 0.0
    flag: bool = False
    colour: Colour = Colour.RED
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    by_rank: dict[int, Inner] = field(default_factory=dict)


NATURAL = st.integers(0, codec.INT_MAX)
TEXT = st.text(max_size=20)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PROGRESS = st.builds(wire.Progress, NATURAL, st.none() | NATURAL, st.dictionaries(TEXT, FINITE, max_size=4))
FAILURES = st.builds(
    wire.Failure, TEXT, NATURAL, st.integers(0, 255), TEXT, TEXT, FINITE, st.none() | NATURAL, TEXT,
    st.lists(TEXT, max_size=4).map(tuple),
)  # fmt: skip
MESSAGES = st.one_of(
    PROGRESS,
    FAILURES,
    st.builds(wire.Termination, st.integers(0, 255), st.none() | FAILURES, st.none() | FAILURES, st.none() | PROGRESS),
    st.builds(
        wire.Beat, TEXT, NATURAL, TEXT, NATURAL, st.sampled_from(wire.State),
        st.dictionaries(NATURAL, PROGRESS, max_size=3), st.none() | FAILURES,
    ),
    st.builds(wire.Orders, st.sampled_from(wire.Order), st.none() | FAILURES),
    st.builds(wire.Report, NATURAL, PROGRESS),
)  # fmt: skip


def test_the_form_on_the_wire():
    message = Outer("x", 0.5, True, Colour.RED, Inner(1), (Inner(2),), {3: Inner(4)})
    assert codec.encode(message) == (
        b'{"longName":"x","ratio":0.5,"flag":true,"colour":"Red","inner":{"count":1},"many":[{"count":2}],'
        b'"byRank":{"3":{"count":4}}}'
    )


@given(MESSAGES)
def test_every_message_comes_back(message):
    assert codec.decode(type(message), codec.encode(message)) == message


def test_defaults_may_be_left_out():
    assert codec.decode(Outer, '{"longName": "x", "ratio": 1}') == Outer("x", 1.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "not JSON", id="empty"),
        pytest.param(b"\xff\xfe\x00", "not JSON", id="garbage"),
        pytest.param("[" * 100_000, "not JSON", id="too deep"),
        pytest.param("[]", "message must be dict, got list", id="no object"),
        pytest.param("{}", r"message lacks \['longName'\]", id="missing"),
        pytest.param('{"longName": "x", "more": 1}', r"unknown fields \['more'\]", id="unknown"),
        pytest.param('{"longName": 1}', "message.longName must be str, got int", id="wrong type"),
        pytest.param('{"longName": "x", "flag": 1}', "message.flag must be bool, got int", id="int for bool"),
        pytest.param('{"longName": "x", "ratio": true}', "message.ratio must be float, got bool", id="bool for float"),
        pytest.param('{"longName": "x", "ratio": NaN}', "NaN is not JSON", id="NaN"),
        pytest.param('{"longName": "x", "ratio": 1e999}', "message.ratio must be finite", id="overflow"),
        pytest.param(f'{{"longName": "x", "inner": {{"count": {2**63}}}}}', "count does not fit", id="65 bits"),
        pytest.param(f'{{"longName": "x", "ratio": {10**400}}}', "ratio does not fit", id="int beyond floats"),
        pytest.param('{"longName": "x", "colour": "Blue"}', r"message.colour must be one of \['Red'\]", id="enum"),
        pytest.param('{"longName": "x", "many": [{"count": ""}]}', r"message.many\[0\].count must be int", id="path"),
        pytest.param('{"longName": "x", "byRank": {"a": {"count": 1}}}', "has the key 'a'", id="key"),
    ],
)
def test_refused(text, problem):
    with pytest.raises(BadMessage, match=problem):
        codec.decode(Outer, text)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_else(data):
    with pytest.raises(BadMessage):
        codec.decode(wire.Join, data)


def test_a_float_without_a_word_in_json_is_not_sent():
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.encode(wire.Progress(1, metrics={"loss": float("nan")}))
