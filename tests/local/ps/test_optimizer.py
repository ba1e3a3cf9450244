from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import psgroup
from torch import nn
from trireme_worker.comm import ps
from trireme_worker.comm.ps import ParameterServerError


def model() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(20, 700), nn.Tanh(), nn.Linear(700, 1500), nn.ReLU(), nn.Linear(1500, 4))


def batch(step: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step * 10 + rank)
    return torch.randn(8, 20, generator=generator), torch.randint(4, (8,), generator=generator)


def make(kind: type[torch.optim.Optimizer], net: nn.Module, **options: float) -> torch.optim.Optimizer:
    return kind(net.parameters(), **options)  # type: ignore[call-arg]


def test_two_workers_with_a_schedule_equal_one_process() -> None:
    steps, loss_of = 5, nn.CrossEntropyLoss()
    reference = model()
    optimizer = make(torch.optim.SGD, reference, lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    for step in range(steps):
        optimizer.zero_grad()
        inputs, targets = zip(batch(step, 0), batch(step, 1), strict=True)
        loss_of(reference(torch.cat(inputs)), torch.cat(targets)).backward()
        optimizer.step()
        schedule.step()

    with psgroup.group(servers=2) as group:
        clients = [group.client(0), group.client(1)]
        nets = [model(), model()]
        for parameter in nets[1].parameters():
            nn.init.zeros_(parameter)

        def train(rank: int) -> nn.Module:
            net = nets[rank]
            inner = make(torch.optim.SGD, net, lr=0.1, momentum=0.9)
            outer = ps.DistributedOptimizer(inner, net.named_parameters(), client=clients[rank], overlap=rank == 0)
            schedule = torch.optim.lr_scheduler.StepLR(outer, 2, 0.5)
            for step in range(steps):
                outer.zero_grad()
                inputs, targets = batch(step, rank)
                loss_of(net(inputs), targets).backward()
                outer.step()
                schedule.step()
            return net

        psgroup.together(lambda: train(0), lambda: train(1))
    for net in nets:
        for got, expected in zip(net.parameters(), reference.parameters(), strict=True):  # type: ignore[attr-defined]
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def wrapped(group: psgroup.Group, **options: object) -> tuple[nn.Linear, ps.DistributedOptimizer]:
    torch.manual_seed(5)
    net = nn.Linear(3, 2)
    inner = torch.optim.SGD(net.parameters(), lr=0.5)
    return net, ps.DistributedOptimizer(inner, net.named_parameters(), client=group.client(0), **options)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # of the wrapped one's
@pytest.mark.parametrize("scheduled", ["wrapped", "wrapping"])
def test_a_schedule_goes_on_after_load_state_dict(scheduled: str) -> None:
    net = nn.Linear(3, 2)
    inner = torch.optim.SGD(net.parameters(), lr=0.5)
    with psgroup.group(workers=1) as group:
        optimizer = ps.DistributedOptimizer(inner, client=group.client(0))
        schedule = torch.optim.lr_scheduler.StepLR(optimizer if scheduled == "wrapping" else inner, 1, 0.5)
        optimizer.load_state_dict(optimizer.state_dict())
        before = net.bias.detach().clone()
        for _ in range(2):
            optimizer.zero_grad()
            net(torch.zeros(1, 3)).sum().backward()
            optimizer.step()
            schedule.step()
        assert torch.equal(net.bias.detach(), before - 0.5 - 0.25)


def test_gradients_of_several_backwards_add_up_to_one_step() -> None:
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group, backward_passes_per_step=2)
        before = net.bias.detach().clone()
        for _ in range(2):
            net(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        assert torch.equal(net.bias.detach(), before - 1.0)
        assert optimizer.served_steps == 1


def twigs() -> nn.ModuleList:
    """Two parts that share no range of a table."""
    torch.manual_seed(7)
    return nn.ModuleList(nn.Linear(3, 2) for _ in range(2))


DECAYED = [
    pytest.param(torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}, id="sgd"),
    pytest.param(torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, id="sgd-dampening"),
    pytest.param(torch.optim.Adagrad, {"lr": 0.1, "weight_decay": 0.1}, id="adagrad"),
    pytest.param(torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.1, "betas": (0.0, 0.0)}, id="adamw"),
]
"""AdamW's correction for its first steps counts the steps of the range: without betas there is none."""
USED = [
    {0: [0], 1: [0]},
    {0: [0, 1], 1: [0]},
    {0: [0], 1: [0]},
    {0: [0], 1: [0, 1]},
    {0: [0], 1: [0]},
    {0: [0, 1], 1: [0, 1]},
]
"""Of each step, the twigs that each worker uses."""


def twig_loss(net: nn.ModuleList, step: int, rank: int) -> torch.Tensor:
    inputs = batch(step, rank)[0][:, :3]
    return torch.stack([net[at](inputs).square().mean() for at in USED[step][rank]]).sum()


@pytest.mark.parametrize("backups", [0, 1])
@pytest.mark.parametrize(("kind", "options"), DECAYED)
def test_what_no_worker_has_a_gradient_of_is_left_alone(
    kind: type[torch.optim.Optimizer], options: dict[str, Any], backups: int
) -> None:
    """Neither decayed nor moved on, as torch does; what one worker has counts as zeros of the other."""
    reference = twigs()
    optimizer = kind(reference.parameters(), **options)  # type: ignore[call-arg]
    for step in range(len(USED)):
        optimizer.zero_grad()
        (sum(twig_loss(reference, step, rank) for rank in range(2)) / 2).backward()  # type: ignore[union-attr]
        optimizer.step()

    with psgroup.group(servers=2, backups=backups) as group:
        clients = [group.client(0), group.client(1)]

        nets = [twigs(), twigs()]

        def train(rank: int) -> None:
            net = nets[rank]
            inner = kind([{"params": twig.parameters()} for twig in net], **options)  # type: ignore[call-arg]
            outer = ps.DistributedOptimizer(inner, client=clients[rank], overlap=rank == 0)
            for step in range(len(USED)):
                outer.zero_grad()
                twig_loss(net, step, rank).backward()
                outer.step()

        psgroup.together(lambda: train(0), lambda: train(1))
    for net in nets:
        for got, expected in zip(net.parameters(), reference.parameters(), strict=True):  # type: ignore[attr-defined]
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("filters", [["int8"], [{"name": "topk", "ratio": 0.5}, "key_caching"]], ids=str)
def test_a_step_without_any_gradient_goes_through_filters(filters: list[Any]) -> None:
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group, filters=filters)
        before = net.weight.detach().clone()
        optimizer.step()
        assert torch.equal(net.weight.detach(), before)
        assert optimizer.served_steps == 1


def test_a_parameter_without_a_gradient_counts_as_zeros_where_its_neighbour_has_one() -> None:
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group)
        before = net.weight.detach().clone()
        (net.bias.sum() * 2).backward()
        optimizer.step()
        assert torch.equal(net.weight.detach(), before)


@pytest.mark.parametrize("overlap", [True, False])
def test_a_sparse_gradient_is_made_dense_once_for_all_its_ranges(
    monkeypatch: pytest.MonkeyPatch, overlap: bool
) -> None:
    made, to_dense = [], torch.Tensor.to_dense
    monkeypatch.setattr(torch.Tensor, "to_dense", lambda tensor: made.append(tensor.shape) or to_dense(tensor))
    nets = [nn.Embedding(100_000, 16, sparse=True) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    reference = torch.optim.SGD(nets[1].parameters(), lr=0.5)
    with psgroup.group(workers=1) as group:
        inner = torch.optim.SGD(nets[0].parameters(), lr=0.5)
        optimizer = ps.DistributedOptimizer(inner, client=group.client(0), overlap=overlap)
        assert len(group.clients[0].ranges("optimizer.0.0")) == 3
        for step in range(2):
            for net, each in zip(nets, (optimizer, reference), strict=True):
                each.zero_grad()
                net(torch.tensor([step, 3, 99_999, 3])).square().sum().backward()
                each.step()
    assert made == [(100_000, 16)] * 2
    torch.testing.assert_close(nets[0].weight, nets[1].weight, rtol=0, atol=1e-6)


def test_frozen_parameters_are_the_workers_own() -> None:
    net = nn.Linear(3, 2)
    net.weight.requires_grad_(False)
    before = net.weight.detach().clone()
    with psgroup.group(workers=1) as group:
        inner = torch.optim.SGD(net.parameters(), lr=0.5, weight_decay=0.5)
        optimizer = ps.DistributedOptimizer(inner, client=group.client(0))
        net(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        assert torch.equal(net.weight.detach(), before)
        assert group.clients[0].ranges("optimizer.0.0")[-1].stop == 2
        net.weight.requires_grad_(True)
        with pytest.raises(ParameterServerError, match="a parameter that was frozen when the optimizer was wrapped"):
            optimizer.step()
        with pytest.raises(ParameterServerError, match="there is nothing to train"):
            ps.DistributedOptimizer(torch.optim.SGD([torch.zeros(2)], lr=0.5), client=group.clients[0])


def test_clipping_between_backward_and_step_counts_without_overlap() -> None:
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group, overlap=False)
        before = net.bias.detach().clone()
        net(torch.zeros(1, 3)).sum().backward()
        nn.utils.clip_grad_value_(net.parameters(), 0.25)
        optimizer.step()
        assert torch.equal(net.bias.detach(), before - 0.125)


def set_rate(net: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
    optimizer.param_groups[0]["lr"] = 0.25


def replace_gradient(net: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
    assert net.bias.grad is not None
    net.bias.grad = net.bias.grad.clone()


GRADIENTS = "gradients were changed between backward() and step(), when they were sent already"
BETWEEN = [
    pytest.param(lambda net, _: nn.utils.clip_grad_norm_(net.parameters(), 0.1), GRADIENTS, id="clip-norm"),
    pytest.param(lambda net, _: nn.utils.clip_grad_value_(net.parameters(), 0.1), GRADIENTS, id="clip-value"),
    pytest.param(lambda net, _: net.zero_grad(), GRADIENTS, id="none"),
    pytest.param(lambda net, _: net.zero_grad(set_to_none=False), GRADIENTS, id="zero"),
    pytest.param(replace_gradient, GRADIENTS, id="another"),
    pytest.param(set_rate, "lr was changed from 0.5 to 0.25 between backward() and step()", id="rate"),
]


@pytest.mark.parametrize(("between", "told"), BETWEEN)
def test_what_changes_after_it_was_sent_is_told(between: Callable[[nn.Linear, Any], None], told: str) -> None:
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group)
        net(torch.ones(1, 3)).sum().backward()
        between(net, optimizer)
        with pytest.raises(ParameterServerError, match=re.escape(told) + r".*overlap=False\)"):
            optimizer.step()


def scaled(net: nn.Linear, optimizer: torch.optim.Optimizer, clip: bool) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(net(torch.ones(1, 3)).sum()).backward()
    if clip:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_value_(net.parameters(), 0.25)
    scaler.step(optimizer)


@pytest.mark.parametrize("clip", [True, False])
def test_a_grad_scaler_counts_without_overlap_and_is_refused_with_it(clip: bool) -> None:
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group, overlap=False)
        before = net.bias.detach().clone()
        scaled(net, optimizer, clip)
        assert torch.equal(net.bias.detach(), before - (0.125 if clip else 0.5))
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group)
        with pytest.raises(ParameterServerError, match=r"a GradScaler's gradients were sent scaled: .*overlap=False"):
            scaled(net, optimizer, clip)


def test_a_disabled_grad_scaler_changes_nothing() -> None:
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group)
        before = net.bias.detach().clone()
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        scaler.scale(net(torch.ones(1, 3)).sum()).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        assert torch.equal(net.bias.detach(), before - 0.5)


@pytest.mark.parametrize("cleared", ["optimizer", "model"])
def test_steps_that_a_grad_scaler_skips_are_skipped_on_the_servers(cleared: str) -> None:
    nets = [nn.Linear(3, 2), nn.Linear(3, 2)]
    nets[1].load_state_dict(nets[0].state_dict())

    def train(net: nn.Linear, optimizer: torch.optim.Optimizer) -> float:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for factor in (1.0, torch.inf, torch.inf, 2.0):
            (optimizer if cleared == "optimizer" else net).zero_grad()
            scaler.scale(net(torch.full((1, 3), factor)).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
        return scaler.get_scale()

    with psgroup.group(workers=1) as group:
        inner, reference = (torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9) for net in nets)
        optimizer = ps.DistributedOptimizer(inner, client=group.client(0), overlap=False)
        assert [train(nets[0], optimizer), train(nets[1], reference)] == [256.0, 256.0]
        assert optimizer.served_steps == 2
    for got, expected in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_zero_grad_begins_a_step_anew_while_nothing_was_sent() -> None:
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group, backward_passes_per_step=2)
        before = net.bias.detach().clone()
        for passes in (1, 2):
            optimizer.zero_grad()
            for _ in range(passes):
                net(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        assert torch.equal(net.bias.detach(), before - 1.0)


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("set_to_none", [True, False])
def test_accumulation_closures_and_kept_gradients_are_no_changes(overlap: bool, set_to_none: bool) -> None:
    nets = [nn.Linear(3, 2), nn.Linear(3, 2)]
    nets[1].load_state_dict(nets[0].state_dict())

    def train(net: nn.Linear, optimizer: torch.optim.Optimizer) -> torch.Tensor:
        def closure() -> torch.Tensor:
            net.zero_grad(set_to_none)
            for part in range(2):
                loss = net(torch.full((1, 3), part + 1.0)).square().sum()
                loss.backward()
            return loss

        optimizer.step(closure)
        optimizer.zero_grad(set_to_none)
        for part in range(2):
            net(torch.full((1, 3), part - 1.0)).square().sum().backward()
        optimizer.param_groups[0]["lr"] *= 1.0
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.5
        return optimizer.step(closure).detach()

    with psgroup.group(workers=1) as group:
        inner = torch.optim.SGD(nets[0].parameters(), lr=0.1)
        optimizer = ps.DistributedOptimizer(inner, backward_passes_per_step=2, overlap=overlap, client=group.client(0))
        losses = [train(nets[0], optimizer), train(nets[1], torch.optim.SGD(nets[1].parameters(), lr=0.1))]
    torch.testing.assert_close(losses[0], losses[1])
    for got, expected in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param(torch.optim.SGD, {"momentum": 0.9}, id="sgd"),
        pytest.param(torch.optim.AdamW, {}, id="adamw"),
        pytest.param(torch.optim.Adagrad, {}, id="adagrad"),
    ],
)
def test_state_that_servers_would_not_have_is_refused(
    kind: type[torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    net = nn.Linear(3, 2)
    optimizer = make(kind, net, lr=0.5, **options)
    with psgroup.group(workers=1) as group:
        outer = ps.DistributedOptimizer(optimizer, client=group.client(0))
        net(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        with pytest.raises(ParameterServerError, match="the optimizer has state of steps that were taken without"):
            outer.load_state_dict(optimizer.state_dict())
        with pytest.raises(ParameterServerError, match="the optimizer has state of steps that were taken without"):
            ps.DistributedOptimizer(optimizer, client=group.clients[0])


def test_sgd_without_momentum_has_no_state_to_lose() -> None:
    net = nn.Linear(3, 2)
    optimizer = make(torch.optim.SGD, net, lr=0.5)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    with psgroup.group(workers=1) as group:
        ps.DistributedOptimizer(optimizer, client=group.client(0)).load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("overlap", [True, False])
def test_a_step_that_failed_leaves_nothing_to_wait_for(overlap: bool) -> None:
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group, overlap=overlap)
        net(torch.full((1, 3), torch.nan)).sum().backward()
        with pytest.raises(ParameterServerError, match="NaN or infinite"):
            optimizer.step()
        group.clients[0].shutdown()


def test_misuse_is_told() -> None:
    with psgroup.group(workers=1) as group:
        net, optimizer = wrapped(group)
        net(torch.ones(1, 3)).sum().backward()
        with pytest.raises(ParameterServerError, match=r"zero_grad\(\) between backward\(\) and step\(\)"):
            optimizer.zero_grad()
        optimizer.step()
        net(torch.ones(1, 3)).sum().backward()
        with pytest.raises(ParameterServerError, match="gradients were computed more than 1 times before step"):
            net(torch.ones(1, 3)).sum().backward()
        with pytest.raises(ParameterServerError, match="parameter groups are added before"):
            optimizer.add_param_group({"params": []})
        with pytest.raises(ParameterServerError, match="1 of the optimizer's parameters are not in named_parameters"):
            ps.DistributedOptimizer(optimizer, [("weight", net.weight)], client=group.clients[0])
        optimizer.param_groups[0]["momentum"] = 0.5
        with pytest.raises(ParameterServerError, match=r"parameter group 0 changed momentum from 0 to 0\.5: "):
            optimizer.step()
