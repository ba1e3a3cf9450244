"""What a fence lets through to the API server, seen at the door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.api import session
from cluster.door import Door, Journal
from trireme.cluster.client import Client
from trireme.cluster.errors import Fenced, Unreachable
from trireme.cluster.fence import Fence
from trireme.cluster.resources import CONFIG_MAPS
from trireme.cluster.throttle import Throttle

OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
async def door(kubeconfig: dict[str, Any], journal: Journal, tmp_path: Path) -> AsyncIterator[Door]:
    async with session(kubeconfig) as upstream, Door("ours", upstream, journal).opened() as door:
        (tmp_path / "door").write_text(yaml.safe_dump(door.kubeconfig), encoding="utf-8")
        yield door


async def test_behind_a_closed_fence_there_is_only_reading(
    door: Door, journal: Journal, namespace: str, tmp_path: Path
) -> None:
    async with await Client.connect(tmp_path / "door", fence=Fence()) as client:
        for write in (
            client.create(CONFIG_MAPS, namespace, OBJECT),
            client.patch(CONFIG_MAPS, namespace, "one", {}),
            client.delete(CONFIG_MAPS, namespace, "one"),
        ):
            with pytest.raises(Fenced):
                await write
        await client.list(CONFIG_MAPS, namespace)
    assert [passage.method for passage in journal.passages] == ["GET"]


async def test_a_write_without_an_answer_ends_when_the_fence_closes(
    door: Door, journal: Journal, namespace: str, tmp_path: Path
) -> None:
    fence = Fence()
    door.silence()
    async with await Client.connect(tmp_path / "door", fence=fence) as client:
        fence.open_until(asyncio.get_running_loop().time() + 0.3)
        with pytest.raises(Fenced):
            await client.create(CONFIG_MAPS, namespace, OBJECT)
    assert journal.passages == []


async def test_a_write_that_waited_its_turn_too_long_is_not_sent(
    door: Door, journal: Journal, namespace: str, tmp_path: Path
) -> None:
    fence, writes = Fence(), Throttle(rate=2, burst=1, concurrency=9)
    async with await Client.connect(tmp_path / "door", writes=writes, fence=fence) as client:
        fence.open_until(asyncio.get_running_loop().time() + 60)
        await client.create(CONFIG_MAPS, namespace, OBJECT)
        waiting = asyncio.create_task(client.patch(CONFIG_MAPS, namespace, "one", {"data": {"late": "1"}}))
        await asyncio.sleep(0)
        fence.close()
        with pytest.raises(Fenced):
            await waiting
    assert [passage.method for passage in journal.passages] == ["POST"]


class Paused(Fence):
    """Open when it is first asked and never again, and no timer had a chance to run: the process stood still."""

    asked = False

    @property
    def open(self) -> bool:
        before, self.asked = self.asked, True
        return not before


async def test_a_write_that_was_begun_in_time_and_connects_too_late_is_not_sent(
    door: Door, journal: Journal, namespace: str, tmp_path: Path
) -> None:
    fence = Paused()
    async with await Client.connect(tmp_path / "door", fence=fence) as client:
        fence.open_until(asyncio.get_running_loop().time() + 60)
        with pytest.raises(Unreachable, match="Fenced"):
            await client.create(CONFIG_MAPS, namespace, OBJECT)
    assert journal.passages == []
