from __future__ import annotations

import pytest
import torch
from support import psgroup
from torch import nn
from trireme_worker.comm import ps
from trireme_worker.comm.ps import ParameterServerError

INNER, EVERY, LR, MOMENTUM = 0.1, 3, 0.7, 0.9
TARGETS = (1.0, 5.0)


def closed_form(meetings: int) -> float:
    """Of half the squared distance to a worker's target: H steps of SGD leave (1 - INNER)**H of the distance."""
    value, momentum = 0.0, 0.0
    for _ in range(meetings):
        moved = (1 - (1 - INNER) ** EVERY) * (value - sum(TARGETS) / len(TARGETS))
        momentum = MOMENTUM * momentum + moved
        value -= LR * (moved + MOMENTUM * momentum)
    return value


def worker(group: psgroup.Group, rank: int) -> tuple[nn.Parameter, ps.DiLoCo]:
    value = nn.Parameter(torch.full((4,), float(rank)))
    inner = torch.optim.SGD([value], lr=INNER)
    client = group.client(rank)
    return value, ps.DiLoCo(inner, [("value", value)], every=EVERY, lr=LR, momentum=MOMENTUM, client=client)


def train(value: nn.Parameter, optimizer: ps.DiLoCo, target: float, steps: int) -> nn.Parameter:
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (value - target) ** 2).sum().backward()
        optimizer.step()
    return value


def test_meetings_give_the_closed_form() -> None:
    with psgroup.group() as group:
        workers = psgroup.together(*(lambda rank=rank: worker(group, rank) for rank in range(2)))
        ends = psgroup.together(
            *(lambda made=made, target=target: train(*made, target, 4 * EVERY)
              for made, target in zip(workers, TARGETS, strict=True))
        )  # fmt: skip
    for end in ends:
        torch.testing.assert_close(end.detach(), torch.full((4,), closed_form(4)), rtol=0, atol=1e-6)


def test_between_meetings_a_worker_is_alone_and_a_successor_begins_at_the_last_one() -> None:
    with psgroup.group(workers=1) as group:
        value, optimizer = worker(group, 0)
        train(value, optimizer, 3.0, EVERY)
        met = value.detach().clone()
        train(value, optimizer, 3.0, EVERY - 1)
        distance = (1 - INNER) ** (EVERY - 1)
        torch.testing.assert_close(value.detach(), 3.0 + distance * (met - 3.0))
        group.clients[0].close()
        successor, again = worker(group, 0)
        assert torch.equal(successor.detach(), met)
        assert again.served_steps == EVERY


def test_the_last_steps_count_when_all_meet_at_the_end() -> None:
    with psgroup.group(workers=1) as group:
        value, optimizer = worker(group, 0)
        train(value, optimizer, 3.0, 1)
        optimizer.meet()
        optimizer.meet()
        assert group.clients[0].pushes("diloco.0") == 1
        assert torch.equal(value.detach(), group.clients[0].pull("diloco.0"))


def test_workers_meet_some_time() -> None:
    with pytest.raises(ParameterServerError, match=r"DiLoCo\(every=0\)"):
        ps.DiLoCo(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1), every=0)
