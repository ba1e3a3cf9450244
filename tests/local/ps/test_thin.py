from __future__ import annotations

import torch
from support import psgroup


def test_two_workers_one_server_sync_sgd_equals_one_process() -> None:
    torch.manual_seed(1)
    start = torch.randn(1_500_000)
    gradients = [[torch.randn_like(start) for _ in range(2)] for _ in range(5)]
    reference = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([reference], lr=0.1, momentum=0.9)
    for pair in gradients:
        reference.grad = (pair[0] + pair[1]) / 2
        optimizer.step()
    with psgroup.group() as group:
        clients = [group.client(0), group.client(1)]

        def work(rank: int) -> torch.Tensor:
            values, client = start.clone(), clients[rank]
            client.register("w", values, function={"name": "sgd", "lr": 0.1, "momentum": 0.9})
            for pair in gradients:
                client.wait(client.push_pull("w", pair[rank], values))
            return values

        ends = psgroup.together(lambda: work(0), lambda: work(1))
    for end in ends:
        torch.testing.assert_close(end, reference.detach(), rtol=0, atol=1e-6)
