from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trireme_worker.comm.ps.filters import BadFilter, BadMessage, Context, Message, Traffic, UnknownKeys, chain
from trireme_worker.comm.ps.filters.select import Select
from trireme_worker.comm.ps.filters.topk import TopK

SIZES = st.integers(1, 700)
SEEDS = st.integers(0, 2**31)
SELECTING: list[list[Any]] = [
    [{"name": "topk", "ratio": 0.1}],
    [{"name": "topk", "ratio": 1.0}],
    [{"name": "significantly_modified", "threshold": 0.8}],
]
EVERY: list[list[Any]] = [
    [],
    *SELECTING,
    ["fp16"],
    ["bf16"],
    ["int8"],
    ["key_caching"],
    [{"name": "kkt", "l1": 0.5}],
    [{"name": "kkt", "l1": 0.5}, {"name": "topk", "ratio": 0.3}, "int8", "key_caching"],
]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rows_of(size: int, row: int, seed: int = 0) -> Message:
    """Some rows, one of them twice and none of them in order."""
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randperm(size // row, generator=generator)[: max(1, size // row // 2)]
    indices = torch.cat([indices, indices[:1]])
    return Message(indices, random(len(indices), row, seed=seed))


def dense(message: Message, context: Context) -> torch.Tensor:
    if message.indices is None:
        return message.values
    return torch.zeros(context.size // context.row, context.row).index_add_(0, message.indices, message.values).view(-1)


@pytest.mark.parametrize("filters", EVERY, ids=str)
@settings(max_examples=25)
@given(rows=st.integers(1, 200), row=st.sampled_from([1, 3]), seed=SEEDS)
def test_what_goes_through_comes_out_in_the_same_form(filters: list[Any], rows: int, row: int, seed: int) -> None:
    context = Context("t/0", 1, rows * row, row, values=torch.zeros(rows * row))
    sender, receiver = chain(filters), chain(filters)
    for message in (Message(None, random(rows * row, seed=seed)), rows_of(rows * row, row, seed)):
        got = receiver.decode(sender.encode(message, context), context)
        assert (got.indices is None) == (message.indices is None)
        assert got.extras == {}
        if message.indices is None:
            assert got.values.shape == message.values.shape


@pytest.mark.parametrize(
    ("name", "relative", "least"), [("fp16", 2**-11, 2**-25), ("bf16", 2**-8, 0.0)], ids=["fp16", "bf16"]
)
@given(size=SIZES, seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_half_is_right_to_its_precision(
    name: str, relative: float, least: float, size: int, seed: int, scale: float
) -> None:
    context, values = Context("t/0", 1, size), random(size, seed=seed) * scale
    sent = chain([name]).encode(Message(None, values), context)
    assert sent.nbytes == 2 * size
    got = chain([name]).decode(sent, context).values
    assert ((got - values).abs() <= values.abs() * relative + least).all()


@pytest.mark.parametrize(("rounding", "steps"), [("nearest", 0.5), ("stochastic", 1.0)])
@settings(max_examples=40)
@given(size=SIZES, seed=SEEDS, scale=st.sampled_from([1e-6, 1.0, 1e6]), block=st.sampled_from([1, 7, 256]))
def test_int8_is_right_to_a_step_of_its_block(
    rounding: str, steps: float, size: int, seed: int, scale: float, block: int
) -> None:
    filters = [{"name": "int8", "rounding": rounding, "block": block}]
    context, values = Context("t/0", 1, size), random(size, seed=seed) * scale
    sent = chain(filters).encode(Message(None, values), context)
    assert sent.nbytes == size + 4 * -(-size // block)
    got = chain(filters).decode(sent, context).values
    for part, exact in zip(got.split(block), values.split(block), strict=True):
        step = exact.abs().max() / 127
        assert ((part - exact).abs() <= step * steps * (1 + 1e-4)).all()


def test_stochastic_rounding_has_no_bias() -> None:
    """Values of 0.3 steps: nearest would make zeros of them."""
    values = torch.full((256,), 0.3)
    values[0] = 127.0
    context, sender, receiver = Context("t/0", 1, 256), chain(["int8"]), chain(["int8"])
    sent = [receiver.decode(sender.encode(Message(None, values), context), context).values for _ in range(200)]
    mean = torch.stack(sent).mean()
    assert mean.item() == pytest.approx(values.mean().item(), rel=0.01)


def test_workers_round_each_in_its_own_way() -> None:
    context, message = Context("t/0", 1, 256), Message(None, random(256))
    first, again, other = (chain(["int8"], seed=seed).encode(message, context).values for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("filters", [["fp16"], ["bf16"], ["int8"], *SELECTING, [{"name": "kkt", "l1": 9.0}]], ids=str)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")], ids=str)
def test_no_filter_hides_what_is_not_finite(filters: list[Any], bad: float) -> None:
    values = random(100)
    values[33] = bad
    context = Context("t/0", 1, 100, values=torch.zeros(100))
    got = chain(filters).decode(chain(filters).encode(Message(None, values), context), context).values
    assert not torch.isfinite(got[33])


@pytest.mark.parametrize("filters", SELECTING, ids=str)
@given(size=st.integers(2, 200), row=st.sampled_from([1, 2]), seed=SEEDS)
def test_error_feedback_loses_nothing(filters: list[Any], size: int, row: int, seed: int) -> None:
    """Sums of whole numbers, so that equal means equal."""
    context = Context("t/0", 1, size * row, row)
    sender, receiver = chain(filters), chain(filters)
    ((_, selecting),) = sender._filters
    assert isinstance(selecting, Select)
    pushed, received = torch.zeros(size * row), torch.zeros(size * row)
    for step in range(6):
        message = (
            rows_of(size * row, row, seed + step) if step % 2 else Message(None, random(size * row, seed=seed + step))
        )
        message = message.but(values=(message.values * 100).round())
        pushed += dense(message, context)
        received += dense(receiver.decode(sender.encode(message, context), context), context)
    kept = selecting.residual(context)
    assert kept is not None
    assert torch.equal(received + kept, pushed)


def test_top_k_sends_the_greatest_and_keeps_the_rest() -> None:
    context, sender = Context("t/0", 1, 8), chain([{"name": "topk", "ratio": 0.25}])
    values = torch.tensor([1.0, -9.0, 2.0, 0.0, 5.0, -3.0, 0.5, 4.0])
    sent = sender.encode(Message(None, values), context)
    assert (sent.indices.tolist(), sent.values.tolist()) == ([1, 4], [-9.0, 5.0])
    again = sender.encode(Message(None, torch.zeros(8)), context)
    assert (again.indices.tolist(), again.values.tolist()) == ([5, 7], [-3.0, 4.0])


def test_top_k_takes_rows_by_their_length() -> None:
    context = Context("t/0", 1, 12, row=3)
    message = Message(torch.tensor([0, 1, 3]), torch.tensor([[1.0, 1, 1], [0, 2, 0], [0, 0, 1]]))
    sent = chain([{"name": "topk", "ratio": 0.34}]).encode(message, context)
    assert (sent.indices.tolist(), sent.values.tolist()) == ([1], [[0.0, 2.0, 0.0]])


def test_ranges_have_their_own_residuals() -> None:
    filtering = TopK(0.5)
    first, second = Context("t/0", 1, 2), Context("t/1", 1, 2)
    filtering.encode(Message(None, torch.tensor([1.0, 2.0])), first)
    assert filtering.residual(first).tolist() == [1.0, 0.0]
    assert filtering.residual(second) is None


def test_what_is_hardly_modified_waits_until_it_is() -> None:
    context, sender = Context("t/0", 1, 8), chain([{"name": "significantly_modified", "threshold": 1.0}])
    gradient = torch.tensor([0.4, 1.5, -0.4, 1.0, 0.0, 0.0, 0.0, 0.0])
    sent = [sender.encode(Message(None, gradient), context) for _ in range(3)]
    assert [part.indices.tolist() for part in sent] == [[1], [1, 3], [0, 1, 2]]
    received = sum(
        chain([{"name": "significantly_modified", "threshold": 1.0}]).decode(part, context).values for part in sent
    )
    torch.testing.assert_close(received, torch.tensor([1.2, 4.5, -1.2, 2.0, 0.0, 0.0, 0.0, 0.0]))


def test_a_choice_that_saves_nothing_is_sent_dense() -> None:
    context = Context("t/0", 1, 4)
    sent = chain([{"name": "significantly_modified", "threshold": 1.0}]).encode(
        Message(None, torch.tensor([2.0, 3.0, 0.5, 4.0])), context
    )
    assert (sent.indices, sent.values.tolist()) == (None, [2.0, 3.0, 0.0, 4.0])


def test_kkt_drops_the_gradient_of_what_is_zero_and_stays_zero() -> None:
    weights = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    context, sender = Context("t/0", 1, 6, values=weights), chain([{"name": "kkt", "l1": 1.0, "slack": 0.1}])
    for _ in range(2):  # and does not keep it
        sent = sender.encode(Message(None, torch.tensor([0.5, -0.9, 0.95, 0.1, -0.2, 0.0])), context)
        assert (sent.indices.tolist(), sent.values.tolist()) == ([2, 3], [pytest.approx(0.95), pytest.approx(0.1)])


def test_kkt_without_slack_changes_no_proximal_step() -> None:
    from trireme_worker.comm.ps.functions import Update, create

    function = create({"name": "proximal_l1", "l1": 0.7, "of": {"name": "sgd", "lr": 0.1}})
    weights = random(300) * (random(300, seed=1) > 1)
    context, gradient = Context("t/0", 1, 300, values=weights), random(300, seed=2) / 2
    filters = [{"name": "kkt", "l1": 0.7, "slack": 0.0}]
    sent = chain(filters).encode(Message(None, gradient), context)
    assert sent.nbytes < gradient.nbytes
    filtered, whole = weights.clone(), weights.clone()
    function.apply(filtered, chain(filters).decode(sent, context).values, {}, Update(1))
    function.apply(whole, gradient, {}, Update(1))
    assert torch.equal(filtered, whole)


def test_kkt_needs_the_weights() -> None:
    with pytest.raises(ValueError, match=r"range t/0: the KKT filter needs the sender's copy"):
        chain([{"name": "kkt", "l1": 1.0}]).encode(Message(None, random(3)), Context("t/0", 1, 3))


def test_only_kkt_needs_the_weights() -> None:
    needing = [filters for filters in EVERY if chain(filters).needs_values]
    assert needing == [filters for filters in EVERY if "kkt" in str(filters)]


def test_keys_are_sent_once() -> None:
    context, sender, receiver = Context("t/0", 1, 100), chain(["key_caching"]), chain(["key_caching"])
    indices = torch.arange(0, 100, 2)
    sent = []
    for seed in range(3):
        message = Message(indices, random(50, 1, seed=seed))
        sent.append(sender.encode(message, context))
        got = receiver.decode(sent[-1], context)
        assert torch.equal(got.indices, indices)
        assert torch.equal(got.values, message.values)
    assert [part.nbytes for part in sent] == [400, 216, 216]
    assert sender.traffic == {"key_caching": Traffic(1200, 832)}


def test_a_receiver_that_forgot_the_keys_is_sent_them_again() -> None:
    context, sender = Context("t/0", 1, 100), chain(["bf16", "key_caching"])
    message = Message(torch.arange(50), random(50, 1))
    sender.encode(message, context)
    sent = sender.encode(message, context)
    fresh = chain(["bf16", "key_caching"])
    with pytest.raises(UnknownKeys, match="range t/0: the keys of a message are not known here"):
        fresh.decode(sent, context)
    got = fresh.decode(sender.whole(sent, context), context)
    assert torch.equal(got.indices, message.indices)
    assert torch.equal(fresh.decode(sent, context).indices, message.indices)


def test_lists_of_keys_are_forgotten_latest_last() -> None:
    context, filters = Context("t/0", 1, 100), [{"name": "key_caching", "lists": 2}]
    sender = chain(filters)
    lists = [torch.arange(start, start + 10) for start in (0, 10, 20)]
    known = [sender.encode(Message(lists[i], random(10, 1)), context).indices is None for i in (0, 1, 0, 2, 0, 1)]
    assert known == [False, False, True, False, True, False]


def test_the_keys_of_a_used_buffer_are_remembered() -> None:
    context, sender, receiver = Context("t/0", 1, 100), chain(["key_caching"]), chain(["key_caching"])
    indices = torch.arange(10)
    receiver.decode(sender.encode(Message(indices.clone(), random(10, 1)), context), context)
    sent = sender.encode(Message(indices.clone(), random(10, 1)), context)
    buffer = torch.arange(10)
    receiver.decode(Message(buffer, random(10, 1)), context)
    buffer.zero_()
    assert torch.equal(receiver.decode(sent, context).indices, indices)


def test_traffic_is_counted_filter_by_filter() -> None:
    context = Context("t/0", 1, 1000, values=torch.zeros(1000))
    sender = chain([{"name": "topk", "ratio": 0.1}, "bf16", "key_caching"])
    sender.encode(Message(None, random(1000)), context)
    assert sender.traffic == {"topk": Traffic(4000, 800), "bf16": Traffic(800, 600), "key_caching": Traffic(600, 600)}


CONTEXT = Context("t/0", 1, 10, row=2)
LONG = torch.int64


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([], Message(None, torch.zeros(9))),
        ([], Message(None, torch.zeros(10, dtype=torch.float16))),
        ([], Message(None, torch.zeros(2, 5))),
        ([], Message(torch.tensor([0, 5]), torch.zeros(2, 2))),
        ([], Message(torch.tensor([-1]), torch.zeros(1, 2))),
        ([], Message(torch.tensor([0]), torch.zeros(1, 3))),
        ([], Message(torch.tensor([0.0]), torch.zeros(1, 2))),
        ([], Message(torch.tensor(0), torch.zeros(1, 2))),
        (["topk"], Message(torch.tensor([1, 10]), torch.zeros(2))),
        (["topk"], Message(torch.tensor([-1, 3]), torch.zeros(2))),
        (["topk"], Message(torch.tensor([3, 3]), torch.zeros(2))),
        (["topk"], Message(torch.tensor([1]), torch.zeros(2))),
        (["topk"], Message(torch.tensor(1), torch.zeros(()))),
        (["fp16"], Message(None, torch.zeros(10))),
        (["bf16"], Message(None, torch.zeros(10, dtype=torch.float16))),
        (["int8"], Message(None, torch.zeros(10, dtype=torch.int8))),
        (["int8"], Message(None, torch.zeros(10, dtype=torch.int8), {"int8.scale": 1.0})),
        (["int8"], Message(None, torch.zeros(10, dtype=torch.int8), {"int8.scale": torch.zeros(2)})),
        (["int8"], Message(None, torch.zeros(10, dtype=torch.int8), {"int8.scale": torch.zeros(1, dtype=LONG)})),
        (["int8"], Message(None, torch.zeros(10), {"int8.scale": torch.zeros(1)})),
        (["key_caching"], Message(None, torch.zeros(10), {"keys": 3})),
        (["key_caching"], Message(None, torch.zeros(10), {"keys": torch.zeros(16)})),
        (["key_caching"], Message(None, torch.zeros(10), {"keys": torch.zeros(4, dtype=torch.uint8)})),
        (["key_caching"], Message(torch.tensor([0]), torch.zeros(1, 2), {"keys": torch.zeros(16, dtype=torch.uint8)})),
        (["key_caching"], Message(torch.zeros(11, dtype=LONG), torch.zeros(11, 2))),
    ],
    ids=str,
)
def test_nonsense_is_refused(filters: list[Any], message: Message) -> None:
    with pytest.raises(BadMessage, match="range t/0"):
        chain(filters).decode(message, CONTEXT)


@pytest.mark.parametrize(
    ("filters", "complaint"),
    [
        (["zip"], "no filter 'zip': there are kkt, significantly_modified"),
        ([3], "a filter is a name or"),
        ([{"ratio": 1}], "a filter is a name or"),
        ([{"name": "topk", "share": 1}], r"filter topk\(ratio.*unexpected keyword argument 'share'"),
        ([{"name": "topk", "ratio": 0}], "ratio is above 0 and at most 1, got 0"),
        ([{"name": "topk", "ratio": "x"}], "filter topk"),
        ([{"name": "significantly_modified"}], "missing a required argument: 'threshold'"),
        ([{"name": "significantly_modified", "threshold": -1}], "threshold is at least 0, got -1"),
        ([{"name": "kkt", "l1": -1}], "l1 is at least 0"),
        ([{"name": "int8", "block": 0}], "block is at least 1"),
        ([{"name": "int8", "rounding": "up"}], "rounding stochastic or nearest, got 256 and 'up'"),
        ([{"name": "key_caching", "lists": 0}], "lists is at least 1"),
        (["bf16", "topk"], r"\['bf16', 'topk'\] is no order: first what selects"),
        (["key_caching", "bf16"], "is no order"),
        (["fp16", "int8"], "is no order"),
        (["topk", "topk"], "a filter stands twice"),
    ],
    ids=str,
)
def test_a_chain_that_cannot_be_is_refused(filters: list[Any], complaint: str) -> None:
    with pytest.raises(BadFilter, match=complaint):
        chain(filters)
