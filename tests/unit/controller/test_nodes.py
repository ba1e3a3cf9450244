"""Nodes are asked for one by one, seldom, and a missing right is told once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.ear import ear
from support.warp import warped
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import Resource
from trireme.controller.nodes import FRESH_SECONDS, Nodes
from trireme.lifecycle.observe import NodeState


class Api:
    def __init__(self, **nodes: str | ApiError) -> None:
        self.nodes = nodes
        self.asked: list[str] = []

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        self.asked.append(f"{resource.plural} {namespace} {name}")
        found = self.nodes[name]
        if isinstance(found, ApiError):
            raise found
        return {"status": {"conditions": [{"type": "MemoryPressure", "status": "False"}, _ready(found)]}}


def _ready(status: str) -> dict[str, str]:
    return {"type": "Ready", "status": status}


def nodes(api: Any) -> Nodes:
    return Nodes(api)


GONE = ApiError("get", 404, "NotFound", "not found")
FORBIDDEN = ApiError("get", 403, "Forbidden", "may not")


def test_what_is_known_of_nodes() -> None:
    api = Api(a="True", b="False", c="Unknown", d=GONE, e=FORBIDDEN)
    with ear("no right to get nodes") as told:
        asker = nodes(api)
        for _ in range(2):
            assert warped(asker_states(asker, "abcdea")) == {
                "a": NodeState.READY,
                "b": NodeState.NOT_READY,
                "c": NodeState.NOT_READY,
                "d": NodeState.GONE,
            }
    assert len(told.lines) == 1


async def asker_states(asker: Nodes, names: str) -> dict[str, NodeState]:
    return dict(await asker.states(names))


def test_many_pods_of_one_node_ask_once_in_a_while() -> None:
    api = Api(a="True")

    async def main() -> None:
        asker = nodes(api)
        for _ in range(3):
            await asker.states("a")
        assert api.asked == ["nodes None a"]
        await asyncio.sleep(FRESH_SECONDS)
        await asker.states("a")

    warped(main())
    assert len(api.asked) == 2


def test_a_server_that_fails_is_asked_again_later() -> None:
    with pytest.raises(ApiError, match="busy"):
        warped(asker_states(nodes(Api(a=ApiError("get", 503, "ServiceUnavailable", "busy"))), "a"))
