"""Filters between real clients and servers; what each of them does by itself is in tests/unit/comm/test_filters.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import psgroup
from trireme_worker.comm.ps import ParameterServerError, sieve
from trireme_worker.comm.ps.filters import Traffic

LENGTH = 600_000
"""Two ranges."""


@pytest.mark.parametrize("name", ["bf16", "int8"])
def test_a_dense_push_is_rounded_on_its_way(name: str) -> None:
    gradients = [torch.randn(LENGTH, generator=torch.Generator().manual_seed(rank)) for rank in range(2)]
    with psgroup.group(servers=2) as group:
        clients = [group.client(0), group.client(1)]

        def work(rank: int) -> torch.Tensor:
            clients[rank].register("w", [LENGTH], filters=[name])
            values = torch.empty(LENGTH)
            clients[rank].wait(clients[rank].push_pull("w", gradients[rank], values))
            return values

        ends = psgroup.together(lambda: work(0), lambda: work(1))
        traffic = clients[0].traffic("w")
    mean = (gradients[0] + gradients[1]) / 2
    for end in ends:
        assert 0 < (end - mean).abs().max() < 0.04
    after = {"bf16": 2 * LENGTH, "int8": LENGTH + 4 * sum(-(-part // 256) for part in (300_000, 300_000))}
    assert traffic == {name: Traffic(4 * LENGTH, after[name])}


@pytest.mark.parametrize(("name", "step"), [("fp16", 2**-11), ("bf16", 2**-8), ("int8", 4 / 127)])
def test_what_servers_send_is_rounded_and_what_they_have_is_not(name: str, step: float) -> None:
    values = torch.randn(LENGTH, generator=torch.Generator().manual_seed(1)).clamp(-3.9, 3.9)
    rows = torch.tensor([3, 250_000])
    with psgroup.group(servers=2, workers=1) as group:
        client = group.client(0)
        client.register("w", values, row=2, pull_filter=name)
        whole, both = client.pull("w"), torch.empty(LENGTH // 2, 2, dtype=torch.float64)
        client.wait(client.push_pull("w", torch.zeros(LENGTH), both))
        some = client.pull_rows("w", rows)
        held = torch.cat([slot.values for server in group.servers.values() for slot in server.shard.slots.values()])
    assert 0 < (whole - values).abs().max() <= step * 4
    assert torch.equal(both.float().reshape(-1), whole)
    torch.testing.assert_close(some, values.view(-1, 2)[rows], rtol=0, atol=step * 4)
    assert torch.equal(held.sort().values, values.sort().values)


def test_what_top_k_keeps_back_comes_with_later_pushes() -> None:
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("w", [8], filters=[{"name": "topk", "ratio": 0.25}])
        client.wait(client.push("w", torch.arange(8.0)))
        sums = [client.pull("w").tolist()]
        for _ in range(3):
            client.wait(client.push("w", torch.zeros(8)))
            sums.append(client.pull("w").tolist())
    assert sums == [
        [0, 0, 0, 0, 0, 0, 6, 7],
        [0, 0, 0, 0, 4, 5, 6, 7],
        [0, 0, 2, 3, 4, 5, 6, 7],
        [0, 1, 2, 3, 4, 5, 6, 7],
    ]


def test_rows_and_their_cached_keys_survive_a_server() -> None:
    """The backup that takes over has never seen the keys: it asks for them."""
    rows, values = torch.tensor([1, 5, 9, 11, 12, 299_980, 299_985, 299_989, 299_991, 299_999]), torch.ones(10, 2)
    with psgroup.group(servers=2, workers=1, backups=1) as group:
        client = group.client(0)
        client.register("w", [LENGTH], row=2, filters=["key_caching"])
        for _ in range(2):
            client.wait(client.push_rows("w", rows, values))
        group.kill(0)
        for _ in range(2):
            client.wait(client.push_rows("w", rows, values))
        assert client.pull_rows("w", rows).tolist() == (4 * values).tolist()
        assert client.pull("w").sum() == 80


@pytest.mark.parametrize("pulled", ["all", "rows"])
def test_kkt_knows_the_weights_from_the_last_pull(pulled: str) -> None:
    rows = torch.arange(5)
    function = {"name": "proximal_l1", "l1": 1.0, "of": {"name": "sgd", "lr": 1.0}}
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("w", torch.tensor([0.0, 0.0, 3.0, 0.0, 3.0]), function=function,
                        filters=[{"name": "kkt", "l1": 1.0, "slack": 0.0}])  # fmt: skip
        _ = client.pull("w") if pulled == "all" else client.pull_rows("w", rows)
        client.wait(client.push_rows("w", rows, torch.tensor([[0.5], [2.0], [0.5], [-0.5], [0.0]])))
        assert client.pull("w").tolist() == [0.0, -1.0, 1.5, 0.0, 2.0]
        assert client.traffic("w") == {"kkt": Traffic(40, 24)}


def test_a_gradient_that_is_not_finite_is_refused_behind_filters() -> None:
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("w", [10], filters=["topk", "bf16"])
        gradient = torch.zeros(10)
        gradient[3] = float("nan")
        with pytest.raises(ParameterServerError, match="NaN or infinite, the first at element 3"):
            client.wait(client.push("w", gradient))


@pytest.mark.parametrize(
    ("filters", "complaint"),
    [
        (["zip"], "no filter 'zip'"),
        (["bf16", "topk"], "is no order"),
        ([{"name": "topk", "ratio": 7}], "ratio is above 0"),
    ],
    ids=str,
)
def test_filters_that_cannot_be_are_refused(filters: list[Any], complaint: str) -> None:
    with psgroup.group(workers=1) as group, pytest.raises(ParameterServerError, match=complaint):
        group.client(0).register("w", [10], filters=filters)


def test_a_pull_filter_that_keeps_something_back_is_refused() -> None:
    with psgroup.group(workers=1) as group, pytest.raises(ParameterServerError, match="pull_filter is one of fp16"):
        group.client(0).register("w", [10], pull_filter="topk")


def test_a_push_that_is_longer_than_it_can_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("w", [10], filters=["bf16"])
        monkeypatch.setattr(sieve, "_packed", lambda message: [memoryview(bytes(5000))])
        with pytest.raises(ParameterServerError, match="a push of 5000 bytes to a range that takes"):
            client.wait(client.push("w", torch.ones(10)))
        monkeypatch.undo()
        client.wait(client.push("w", torch.ones(10)))
        assert client.pull("w").tolist() == [1] * 10


def test_an_unfiltered_table_counts_no_traffic() -> None:
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("w", [10])
        assert client.traffic("w") == {}
