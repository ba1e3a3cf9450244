"""What the operator lets others see while it works: Events on the job, metrics over HTTP."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.operating import Operator, announced, end_all, job, phase, play, pods, run_all, until
from trireme.cluster.client import Client
from trireme.cluster.resources import EVENTS, PODS, TRAINING_JOBS
from trireme.controller.settings import Settings

SECONDS = 60
WAITING = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@pytest.fixture
def operator(
    kubeconfig_path: Path, namespace: str, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Operator:
    settings = Settings(
        kubeconfig=kubeconfig_path, namespaces=(namespace,), key_file=tmp_path / "operator.key", metrics_port=port,
        status_seconds=0.05,
    )  # fmt: skip
    return Operator(settings, monkeypatch)


async def scraped(port: int, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """The samples, once they are as wanted."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(SECONDS):
        while True:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                text = await answer.text()
            samples = {name: float(value) for name, value in re.findall(r"^(\w+(?:{.*})?) (\S+)$", text, re.MULTILINE)}
            if holds(samples):
                return samples
            await asyncio.sleep(0.05)


async def test_the_life_of_a_job_is_announced_and_counted(
    operator: Operator, client: Client, namespace: str, port: int
) -> None:
    async with operator.running():
        made = job()
        made["spec"]["restart"] = {"limit": 1}
        await client.create(TRAINING_JOBS, namespace, made)
        found = await pods(client, namespace, 2)
        await play(client, namespace, "digits-worker-1", WAITING, "Pending")
        await announced(client, namespace, "ImagePullBackOff")
        await run_all(client, namespace, found)
        await phase(client, namespace, "Running")
        await end_all(client, namespace, {"digits-worker-1": {}}, code=3)
        await announced(client, namespace, "Restarting")
        await until(client, PODS, namespace, lambda now: _attempt(now.get("digits-worker-1")) == "1")
        await run_all(client, namespace, {"digits-worker-1": {}})
        await phase(client, namespace, "Running")
        await end_all(client, namespace, {"digits-worker-1": {}}, code=3)
        await phase(client, namespace, "Failed")
        events = await announced(client, namespace, "Running", "Failed")
        samples = await scraped(port, lambda now: now.get('trireme_jobs{phase="Failed"}') == 1)
    assert {reason: event["type"] for reason, event in events.items()} == {
        "ImagePullBackOff": "Warning",
        "Running": "Normal",
        "Restarting": "Warning",
        "Failed": "Warning",
    }
    assert events["ImagePullBackOff"]["note"] == "worker-1: ImagePullBackOff: no such image"
    assert events["Restarting"]["note"].startswith("Restarting 1/1: worker-1: exit code 3: ")
    assert events["Failed"]["note"].startswith("Failed: worker-1")
    counted = {
        'trireme_job_launch_seconds_count{stage="first_pod"}': 1,
        'trireme_job_launch_seconds_count{stage="all_running"}': 1,
        'trireme_jobs_finished_total{phase="Failed"}': 1,
        'trireme_job_failures_total{reason="Error"}': 1,
        'trireme_job_restarts_total{counted="true",reason="Error"}': 1,
        'trireme_api_request_seconds_count{code="201",resource="pods",verb="create"}': 3,
        'trireme_watch_events_total{resource="pods",type="ADDED"}': 3,
        "trireme_leader": 1,
        "trireme_queue_depth": 0,
    }
    assert {name: samples.get(name) for name in counted} == counted
    assert not any("digits" in name or namespace in name for name in samples)


def _attempt(pod: dict[str, Any] | None) -> str | None:
    return pod["metadata"]["labels"]["trireme.dev/attempt"] if pod is not None else None


async def test_an_invalid_job_is_announced(operator: Operator, client: Client, namespace: str) -> None:
    broken = job()
    del broken["spec"]["worker"]["template"]["spec"]["containers"][0]["command"]
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, broken)
        events = await announced(client, namespace, "InvalidSpec")
    assert set(events) == {"InvalidSpec"}
    assert "containers[0].command" in events["InvalidSpec"]["note"]


async def test_events_that_cannot_be_written_hold_nothing_up(
    operator: Operator, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("trireme.cluster.events.Recorder._create", stuck)
    async with operator.running():
        await client.create(TRAINING_JOBS, namespace, job())
        found = await pods(client, namespace, 2)
        await run_all(client, namespace, found)
        await phase(client, namespace, "Running")
        await end_all(client, namespace, found)
        await phase(client, namespace, "Succeeded")
    assert not [
        each for each in (await client.list(EVENTS, namespace))[0] if each["regarding"].get("kind") == "TrainingJob"
    ]
