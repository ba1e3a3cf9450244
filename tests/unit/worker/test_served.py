"""Data and schedules are brought to where a worker's steps on the servers are."""

from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR
from trireme_worker.checkpoint.served import follow


@pytest.mark.parametrize(("step", "reached"), [(0, 0), (7, 7), (10, 10), (25, 10)])
def test_a_schedule_with_an_end_stays_there(step: int, reached: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    follow({"schedule": schedule}, step)
    assert schedule.last_epoch == reached
