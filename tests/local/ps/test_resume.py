"""A checkpoint.Training whose weights are on servers: nothing is saved by its worker, and a successor loses no step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import psgroup
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, TensorDataset
from trireme_worker import checkpoint
from trireme_worker.comm import ps
from trireme_worker.comm.ps.errors import ParameterServerError

EPOCHS, BATCH = 3, 4


def loader() -> Any:
    generator = torch.Generator().manual_seed(1)
    return DataLoader(TensorDataset(torch.randn(20, 3, generator=generator)), BATCH, shuffle=True)


def net() -> nn.Module:
    torch.manual_seed(7)
    return nn.Linear(3, 2)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, home: Path, until: int = 1000) -> int:
    """Returns the step at which it began."""
    data, schedule = checkpoint.Batches(loader(), EPOCHS), StepLR(optimizer, 4, 0.5)
    training = checkpoint.Training(model=model, optimizer=optimizer, schedule=schedule, data=data, directory=str(home))
    step = first = training.resume()
    for (inputs,) in data:
        optimizer.zero_grad()
        model(inputs).square().sum().backward()
        optimizer.step()
        schedule.step()
        step += 1
        training.step(step)
        if step == until:
            return first
    training.finish(step)
    return first


def served(group: psgroup.Group, model: nn.Module) -> ps.DistributedOptimizer:
    return ps.DistributedOptimizer(sgd(model), model.named_parameters(), client=group.client(0))


def test_a_successor_goes_on_with_the_very_batch_and_rate(tmp_path: Path) -> None:
    undisturbed = net()
    train(undisturbed, sgd(undisturbed), tmp_path / "alone")
    with psgroup.group(workers=1) as group:
        first, successor = net(), net()
        assert train(first, served(group, first), tmp_path / "served", until=7) == 0
        group.clients[0].close()
        assert train(successor, served(group, successor), tmp_path / "served") == 7
    for got, expected in zip(successor.parameters(), undisturbed.parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
    assert not (tmp_path / "served").exists()


def test_a_group_that_was_suspended_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    undisturbed = net()
    train(undisturbed, sgd(undisturbed), tmp_path / "alone")
    again = net()
    with psgroup.group(workers=1, checkpoints=tmp_path) as group:
        first = net()
        train(first, served(group, first), tmp_path, until=7)
        group.servers[0].checkpoint()  # as it does on SIGTERM
    with psgroup.group(workers=1, checkpoints=tmp_path) as group:
        assert train(again, served(group, again), tmp_path) == 7
    for got, expected in zip(again.parameters(), undisturbed.parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


SGD = {"name": "sgd", "lr": 0.5, "momentum": 0.5}


def one_more(home: Path, length: int = 4, **options: Any) -> tuple[list[float], int]:
    """Values and pushes of a table after one push more, which is saved."""
    with psgroup.group(workers=1, checkpoints=home) as group:
        client = group.client(0)
        client.register("w", torch.zeros(length), **{"function": SGD, **options})
        client.wait(client.push("w", torch.ones(length)))
        group.servers[0].checkpoint()
        return client.pull("w").tolist(), client.pushes("w")


@pytest.mark.parametrize(
    ("options", "second"),
    [
        ({"function": {**SGD, "lr": 0.25}}, -0.5 - 0.25 * 1.5),
        ({"function": {**SGD, "momentum": 0.25}}, -0.5 - 0.5 * 1.25),
        ({"filters": ["bf16"], "pull_filter": "bf16", "nan": "pass", "consistency": "Async"}, -0.5 - 0.5 * 1.5),
    ],
    ids=["lr", "momentum", "the rest"],
)
def test_options_may_change_when_a_job_goes_on(tmp_path: Path, options: dict[str, Any], second: float) -> None:
    assert one_more(tmp_path) == ([-0.5] * 4, 1)
    assert one_more(tmp_path, **options) == ([second] * 4, 2)


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"length": 6}, "length 4 there, 6 here"),
        ({"row": 2}, "row 1 there, 2 here"),
        ({"function": {"name": "adamw"}}, r"states \['momentum'\] there, \['mean', 'square'\] here"),
    ],
    ids=["length", "row", "optimizer"],
)
def test_a_table_that_cannot_go_on_is_refused_and_what_was_saved_stays(
    tmp_path: Path, options: dict[str, Any], difference: str
) -> None:
    one_more(tmp_path)
    with pytest.raises(ParameterServerError, match=rf"table 'w' is not the one of the checkpoint .*\({difference}\)"):
        one_more(tmp_path, **options)
    assert one_more(tmp_path) == ([-0.5 - 0.5 * 1.5] * 4, 2)


def test_a_part_that_nobody_would_save_is_refused() -> None:
    with psgroup.group(workers=1) as group:
        model = net()
        optimizer = served(group, model)
        plateau = ReduceLROnPlateau(optimizer)
        with pytest.raises(ValueError, match=r"a worker saves nothing, so parts \['plateau'\] would be lost"):
            checkpoint.Training(model=model, optimizer=optimizer, plateau=plateau)
