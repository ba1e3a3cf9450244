"""Sync training that servers and workers die in equals one process that nobody disturbs."""

from __future__ import annotations

import torch
from support import psfire, psgroup
from support.psgroup import Group, together

STEPS, LENGTH = 10, 1_200_000
FUNCTION = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True}
TARGETS = [torch.randn(LENGTH, generator=torch.Generator().manual_seed(rank)) for rank in range(2)]


def gradient(values: torch.Tensor, rank: int) -> torch.Tensor:
    """Of half the squared distance to the worker's own target."""
    return values - TARGETS[rank]


def alone() -> torch.Tensor:
    values = torch.nn.Parameter(torch.zeros(LENGTH))
    optimizer = torch.optim.SGD([values], lr=0.1, momentum=0.9, nesterov=True)
    for _ in range(STEPS):
        values.grad = (gradient(values.detach(), 0) + gradient(values.detach(), 1)) / 2
        optimizer.step()
    return values.detach()


def live(group: Group, rank: int, misfortune: dict[int, str]) -> torch.Tensor:
    """A worker's script, from its start; a killed worker's successor runs it again from the servers' clock."""
    client = group.client(rank, assembly_seconds=1.0)
    client.register("w", torch.zeros(LENGTH), function=FUNCTION)
    values = torch.empty(LENGTH)
    client.resume({"w": values})
    while client.pushes("w") < STEPS:
        what = misfortune.pop(client.pushes("w"), "")
        if what == "worker":
            client.close()
            return live(group, rank, misfortune)
        if what == "worker within its step":
            client.wait(client.push_ranges("w", [gradient(values, rank)], [1], None), 0.5)
            client.close()
            return live(group, rank, misfortune)
        timestamp = client.push_pull("w", gradient(values, rank), values)
        if what == "server":
            psfire.settled(group)
            group.kill(min(group.servers))
        elif what == "join":
            group.serve(max(group.servers) + 1)
        client.wait(timestamp)
    return values


def test_sync_with_kills_equals_one_process() -> None:
    with psgroup.group(servers=2, backups=1) as group:
        ends = together(
            lambda: live(group, 0, {1: "worker", 2: "server", 4: "worker within its step", 5: "join", 7: "server"}),
            lambda: live(group, 1, {3: "worker", 6: "join", 8: "worker within its step"}),
        )
    expected = alone()
    for end in ends:
        torch.testing.assert_close(end, expected, rtol=0, atol=1e-6)
