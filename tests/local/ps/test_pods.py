"""Which way a worker reaches a server: within a pod by AF_UNIX and shared memory, from another pod by TCP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from support import netns, psgroup
from support.netns import Namespace
from support.psgroup import Board, Group
from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.server import Settings

LENGTH = 1_500_000
PATIENCE_SECONDS = 3.0
"""Less than a connection that is tried in vain may take (transport.GREETING_SECONDS)."""


@pytest.fixture
def pods() -> Iterator[list[Namespace]]:
    try:
        with netns.pods("10.99.0.1", "10.99.0.2") as made:
            yield made
    except netns.NoNamespaces as error:
        pytest.skip(f"there are no network namespaces here: {error}")


def near(client: Client) -> list[bool]:
    """Of each server."""
    channels = sorted(client._connections.alive(), key=lambda channel: channel.serving.index)
    return [channel._wire.near for channel in channels]


def step(client: Client, gradient: float) -> torch.Tensor:
    values = torch.empty(LENGTH)
    client.register("w", torch.zeros(LENGTH))
    assert client.wait(client.push_pull("w", torch.full((LENGTH,), gradient), values), PATIENCE_SECONDS)
    return values


def test_another_pod_is_reached_by_tcp_and_the_own_one_by_shared_memory(pods: list[Namespace]) -> None:
    """Each pod has a server and a worker. The other pod's AF_UNIX socket is none here, and nobody waits for it."""
    group = Group(Settings(0, psgroup.TOKEN), Board(2), size=2)
    try:
        for index, pod in enumerate(pods):
            pod.run(lambda index=index, pod=pod: group.serve(index, address=pod.address))
        clients = [pod.run(lambda rank=rank, pod=pod: group.client(rank)) for rank, pod in enumerate(pods)]
        ends = psgroup.together(*(lambda rank=rank: step(clients[rank], rank + 1.0) for rank in range(2)))
        assert all(torch.equal(end, torch.full((LENGTH,), 1.5)) for end in ends)
        assert [near(client) for client in clients] == [[True, False], [False, True]]
    finally:
        group.close()
