from __future__ import annotations

import asyncio
from typing import Any

import pytest
from trireme.cluster.errors import ApiError
from trireme.contract.bundle import Agent
from trireme.controller.launch import FIRST_LANES, LANES, Launcher
from trireme.lifecycle.observe import Refusal
from trireme.plan.planner import plan
from trireme.spec.parse import parse

PODS = 200
TRAINER = {"name": "trainer", "image": "python:3.11", "command": ["python3", "train.py"]}
PLAN = plan(
    parse({
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "digits", "namespace": "team", "uid": "u"},
        "spec": {"worker": {"replicas": PODS, "template": {"spec": {"containers": [TRAINER]}}}},
    }),
    attempt=0,
    agent="abc",
)  # fmt: skip


class Api:
    """Answers all that wait, in rounds; from request number `wall` on it says no."""

    def __init__(self, wall: int, status: int) -> None:
        self.wall = wall
        self.status = status
        self.asked: list[str] = []
        self.under_way = self.most = 0

    async def create(self, resource: Any, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        number = len(self.asked)
        self.asked.append(body["metadata"]["name"])
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if number >= self.wall:
            raise ApiError("create", self.status, "No", "no")
        body["metadata"].update(resourceVersion="1", creationTimestamp="2026-01-01T00:00:00Z")
        body["metadata"].setdefault("uid", str(number))
        return body


def launch(wall: int, status: int = 403) -> tuple[Api, Any]:
    api = Api(wall, status)
    client: Any = api
    return api, asyncio.run(Launcher(client, b"k" * 32, Agent(b"zip", "abc")).pods(PLAN, PLAN.pods))


def test_every_pod_is_tried_once_and_never_too_many_at_a_time() -> None:
    api, launched = launch(PODS)
    assert api.asked == [pod.name for pod in PLAN.pods]
    assert len(launched.pods) == PODS
    assert FIRST_LANES < api.most <= LANES


@pytest.mark.parametrize(("status", "refused"), [(403, Refusal("no")), (500, None)], ids=["refusal", "failure"])
def test_few_meet_a_wall(status: int, refused: Refusal | None) -> None:
    api, launched = launch(0, status)
    assert len(api.asked) == FIRST_LANES
    assert (launched.refused, launched.error is None, launched.pods) == (refused, status == 403, [])
