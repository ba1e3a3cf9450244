"""Tensors of a GPU. Where there is none, everything here is skipped; on a machine with one, and without the project's
environment, this runs it:

    PYTHONPATH=operator:images/worker:tests python3 -m pytest -c /dev/null --rootdir=. --noconftest \\
        --import-mode=importlib tests/local/ps/test_cuda.py
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import psgroup
from support.psgroup import Group, together
from torch import nn
from trireme_worker.comm import ps
from trireme_worker.comm.ps import session

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

CUDA = "cuda"
LENGTH = 1_500_000
"""Elements: three ranges, on two servers."""
LONG = 200_000_000
"""Cycles of a GPU, a tenth of a second: whoever does not wait for its stream reads too early."""
STEPS = 5


@pytest.fixture
def alone() -> Any:
    with psgroup.group(servers=2, workers=1) as group:
        yield group


def of_each(group: Group, work: Callable[[int], Any]) -> list[Any]:
    """What two workers return, each in a thread of its own."""
    return together(lambda: work(0), lambda: work(1))


def model(width: int = 700) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(20, width), nn.Tanh(), nn.Linear(width, 1500), nn.ReLU(), nn.Linear(1500, 4))


def batch(step: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step * 10 + rank)
    return torch.randn(8, 20, generator=generator).to(CUDA), torch.randint(4, (8,), generator=generator).to(CUDA)


def test_push_pull_and_both_in_one() -> None:
    start = torch.randn(LENGTH, device=CUDA)

    def work(rank: int) -> list[torch.Tensor]:
        client, out = group.clients[rank], torch.empty_like(start)
        client.register("w", start, reduction="sum")
        client.wait(client.push("w", torch.ones_like(start)))
        pulled = client.pull("w", torch.empty_like(start))
        client.wait(client.push_pull("w", torch.full_like(start, rank + 1.0), out))
        return [pulled, out]

    with psgroup.group(servers=2) as group:
        clients = [group.client(0), group.client(1)]
        assert clients == group.clients
        for pulled, out in of_each(group, work):
            assert torch.equal(pulled, start + 2)
            assert torch.equal(out, start + 2 + 3)


def test_several_tensors_of_any_type_and_strides_make_a_table(alone: Group) -> None:
    client = alone.client(0)
    tensors = [
        torch.randn(700, 1000, device=CUDA, dtype=torch.bfloat16),
        torch.randn(1000, 700, device=CUDA).t(),
        torch.randn(300, 7),
        torch.randn(8, 3, 5, 5, device=CUDA).to(memory_format=torch.channels_last),
        torch.arange(5, device=CUDA),
    ]
    client.register("w", tensors)
    client.wait(client.push("w", [torch.ones_like(each) for each in tensors]))
    out = [torch.empty_like(each) for each in tensors]
    client.pull("w", out)
    for got, before in zip(out, tensors, strict=True):
        assert torch.equal(got, before + 1)


def test_rows(alone: Group) -> None:
    client, rows = alone.client(0), torch.tensor([70_000, 3, 99_999], device=CUDA)
    start = torch.randn(100_000, 16, device=CUDA)
    client.register("vectors", start, row=16)
    client.wait(client.push_rows("vectors", rows, torch.ones(3, 16, device=CUDA)))
    out = torch.empty(3, 16, device=CUDA)
    assert client.pull_rows("vectors", rows, out) is out
    assert torch.equal(out, start[rows] + 1)
    assert torch.equal(client.pull_rows("vectors", torch.tensor([0, 1])), start[:2].cpu())


def test_a_push_comes_after_what_its_stream_has_before_it(alone: Group) -> None:
    client, side = alone.client(0), torch.cuda.Stream()
    client.register("w", torch.zeros(LENGTH))
    gradient, out = torch.zeros(LENGTH, device=CUDA), torch.zeros(LENGTH, device=CUDA)
    torch.cuda.synchronize()
    for number in range(1, 4):
        with torch.cuda.stream(side):
            torch.cuda._sleep(LONG)
            gradient.fill_(number)
            timestamp = client.push_pull("w", gradient, out)
        client.wait(timestamp)
        assert torch.equal(out, torch.full_like(out, number * (number + 1) / 2))


def test_what_was_pulled_is_there_when_wait_returns(alone: Group) -> None:
    """On every stream, and after what the stream of `wait` had to do with it before."""
    client, side = alone.client(0), torch.cuda.Stream()
    client.register("w", torch.ones(LENGTH))
    out, before = torch.zeros(LENGTH, device=CUDA), torch.empty(LENGTH, device=CUDA)
    torch.cuda._sleep(LONG)
    before.copy_(out)
    client.wait(client.start_pull("w", out))
    with torch.cuda.stream(side):
        doubled = out * 2
    side.synchronize()
    assert torch.equal(doubled, torch.full_like(out, 2))
    assert torch.equal(before, torch.zeros_like(out))


def test_sync_equals_one_process() -> None:
    loss_of = nn.CrossEntropyLoss()
    reference = model().to(CUDA)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    for step in range(STEPS):
        optimizer.zero_grad()
        inputs, targets = zip(batch(step, 0), batch(step, 1), strict=True)
        loss_of(reference(torch.cat(inputs)), torch.cat(targets)).backward()
        optimizer.step()

    nets = [model().to(CUDA), model().to(CUDA)]
    for parameter in nets[1].parameters():
        nn.init.zeros_(parameter)

    def train(rank: int) -> None:
        net = nets[rank]
        inner = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        with torch.cuda.stream(torch.cuda.Stream()):
            torch.cuda.current_stream().wait_stream(torch.cuda.default_stream())
            outer = ps.DistributedOptimizer(inner, client=group.clients[rank], overlap=rank == 0)
            for step in range(STEPS):
                outer.zero_grad()
                inputs, targets = batch(step, rank)
                loss_of(net(inputs), targets).backward()
                outer.step()
        torch.cuda.synchronize()

    with psgroup.group(servers=2) as group:
        group.client(0)
        group.client(1)
        of_each(group, train)
    for net in nets:
        for got, expected in zip(net.parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


class Late(torch.autograd.Function):
    """Its gradient takes a while."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:
        return values.clone()

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        torch.cuda._sleep(LONG)
        return gradient * 1


@pytest.mark.parametrize("overlap", [True, False])
def test_gradients_of_one_range_come_from_several_streams(alone: Group, overlap: bool) -> None:
    """The last one to come is not the last one to be there."""
    side = torch.cuda.Stream()
    slow, quick = (nn.Parameter(torch.zeros(1000, device=CUDA)) for _ in range(2))
    inner = torch.optim.SGD([slow, quick], lr=1.0)
    optimizer = ps.DistributedOptimizer(inner, client=alone.client(0), overlap=overlap)
    for _ in range(3):
        optimizer.zero_grad()
        early = quick.sum()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            late = Late.apply(slow).sum()
        torch.cuda.current_stream().wait_stream(side)
        (early + late).backward()
        optimizer.step()
    assert (slow.tolist(), quick.tolist()) == ([-3.0] * 1000, [-3.0] * 1000)


@pytest.mark.parametrize(("name", "tolerance"), [("bf16", 2**-8), ("fp16", 2**-11), ("int8", 2 / 127)])
def test_rounding_on_the_wire(alone: Group, name: str, tolerance: float) -> None:
    client = alone.client(0)
    client.register("w", torch.zeros(LENGTH), filters=[name], pull_filter=name)
    gradient = torch.rand(LENGTH, device=CUDA)
    out = torch.empty_like(gradient)
    client.wait(client.push_pull("w", gradient, out))
    torch.testing.assert_close(out, gradient, rtol=0, atol=2 * tolerance)


def test_top_k_with_error_feedback_loses_nothing(alone: Group) -> None:
    client, steps = alone.client(0), 4
    client.register("w", torch.zeros(LENGTH), filters=[{"name": "topk", "ratio": 0.5}])
    gradient = torch.ones(LENGTH, device=CUDA)
    for _ in range(steps):
        client.wait(client.push("w", gradient))
    total = client.pull("w", torch.empty_like(gradient)).sum().item()
    assert LENGTH * (steps - 1) <= total <= LENGTH * steps


def test_half_precision_parameters_are_stepped_in_float32(alone: Group) -> None:
    parameter = nn.Parameter(torch.full((1000,), 1.0, device=CUDA, dtype=torch.bfloat16))
    optimizer = ps.DistributedOptimizer(torch.optim.SGD([parameter], lr=2**-12), client=alone.client(0))
    for _ in range(32):  # each step alone is lost in bfloat16
        optimizer.zero_grad()
        parameter.sum().backward()
        optimizer.step()
    assert parameter.tolist() == [1 - 2**-7] * 1000


def test_broadcast_gives_all_the_roots_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_broadcasts", itertools.repeat(0))  # which a process counts, and here two workers are
    nets = [nn.BatchNorm1d(5).to(CUDA) for _ in range(2)]
    nets[0].running_mean.fill_(3.0)  # type: ignore[union-attr, operator]
    nets[0].num_batches_tracked.fill_(7)  # type: ignore[union-attr, operator]
    with psgroup.group(servers=2) as group:
        group.client(0)
        group.client(1)
        of_each(group, lambda rank: ps.broadcast_parameters(nets[rank].state_dict(), using=group.clients[rank]))
    for name, expected in nets[0].state_dict().items():
        assert torch.equal(nets[1].state_dict()[name], expected), name


def test_diloco_meets(alone: Group) -> None:
    parameter = nn.Parameter(torch.zeros(LENGTH, device=CUDA))
    inner = torch.optim.SGD([parameter], lr=0.5)
    optimizer = ps.DiLoCo(inner, every=2, lr=1.0, momentum=0.0, client=alone.client(0))
    for _ in range(4):
        optimizer.zero_grad()
        parameter.sum().backward()
        optimizer.step()
    assert torch.equal(parameter.detach(), torch.full_like(parameter, -2.0))
