"""`trireme get`, `describe` and `logs` as a user types them, against an API server; what Kubernetes keeps of Events."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.operating import job
from trireme.cli import describe as describe_command
from trireme.cli.target import Target, find_job
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.events import Recorder
from trireme.cluster.resources import EVENTS, TRAINING_JOBS, Resource

ROOT = Path(__file__).parents[2]
SECONDS = 60

Trireme = Callable[..., Awaitable[tuple[int, str, str]]]


@asynccontextmanager
async def started(kubeconfig: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environ = {**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT / "operator")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trireme.cli", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environ,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@pytest.fixture
def trireme(kubeconfig_path: Path) -> Trireme:
    """Runs a command to its end: exit code, output, errors."""

    async def run(*arguments: str) -> tuple[int, str, str]:
        async with started(kubeconfig_path, *arguments) as process:
            out, error = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), error.decode()

    return run


async def test_get_as_a_table_and_as_objects(trireme: Trireme, client: Client, namespace: str) -> None:
    nothing = await trireme("get", "-n", namespace)
    assert nothing == (0, "", f"there are no TrainingJobs in namespace {namespace}\n")
    for name in ("one", "two"):
        await client.create(TRAINING_JOBS, namespace, job(name=name))
    await client.patch(
        TRAINING_JOBS,
        namespace,
        "two",
        {"status": {"phase": "Running", "workersReady": "2/2", "message": "Running: 2/2 pods", "restarts": 3}},
        subresource="status",
    )
    code, table, _ = await trireme("get", "-n", namespace)
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["NAME", "PHASE", "WORKERS", "PROGRESS", "RESTARTS", "AGE", "MESSAGE"]
    assert [row[:2] for row in rows[1:]] == [["one", "Pending"], ["two", "Running"]]
    assert rows[2][2:4] + rows[2][-3:] == ["2/2", "3", "Running:", "2/2", "pods"]
    code, everywhere, _ = await trireme("get", "-A")
    assert everywhere.startswith("NAMESPACE")
    assert code == 0
    _, listed, _ = await trireme("get", "-n", namespace, "-o", "json")
    assert [item["metadata"]["name"] for item in json.loads(listed)["items"]] == ["one", "two"]
    _, one, _ = await trireme("get", "one", "-n", namespace, "-o", "yaml")
    assert yaml.safe_load(one)["kind"] == "TrainingJob"


async def test_get_watches(kubeconfig_path: Path, client: Client, namespace: str) -> None:
    await client.create(TRAINING_JOBS, namespace, job(name="one"))
    async with started(kubeconfig_path, "get", "-w", "-n", namespace) as process:
        assert process.stdout is not None
        assert (await process.stdout.readline()).split()[0] == b"NAME"
        assert (await process.stdout.readline()).split()[:2] == [b"one", b"Pending"]
        await client.create(TRAINING_JOBS, namespace, job(name="two"))
        assert (await process.stdout.readline()).split()[:2] == [b"two", b"Pending"]


@pytest.mark.parametrize("command", ["get", "describe", "logs"])
async def test_a_job_that_is_not_there(trireme: Trireme, namespace: str, command: str) -> None:
    code, out, error = await trireme(command, "nobody", "-n", namespace)
    assert (code, out) == (1, "")
    assert error == f"there is no TrainingJob nobody in namespace {namespace}; trireme get -A lists all\n"


async def test_a_cluster_that_is_not_there(trireme: Trireme, tmp_path: Path) -> None:
    code, _, error = await trireme("get", "--kubeconfig", str(tmp_path / "none"))
    assert (code, f"no kubeconfig at {tmp_path}/none" in error) == (3, True)
    gone = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    }
    path = tmp_path / "gone"
    path.write_text(yaml.safe_dump(gone))
    code, _, error = await trireme("get", "--kubeconfig", str(path))
    assert code == 3
    assert "/namespaces/team/trainingjobs: " in error
    assert len(error.splitlines()) == 1


async def test_nothing_to_show_yet_is_told_with_the_reason(trireme: Trireme, client: Client, namespace: str) -> None:
    await client.create(TRAINING_JOBS, namespace, job())
    said = {"status": {"phase": "Pending", "message": "Pending: 2/2 unschedulable: Insufficient cpu"}}
    await client.patch(TRAINING_JOBS, namespace, "digits", said, subresource="status")
    told = await trireme("logs", "digits", "-n", namespace)
    assert told == (0, "", "nothing yet: Pending: 2/2 unschedulable: Insufficient cpu\n")
    code, _, error = await trireme("logs", "digits", "-n", namespace, "--rank", "7")
    assert (code, error) == (1, "there is no rank 7: the ranks of digits are 0 to 1\n")


async def test_events_become_a_series_and_describe_shows_them(trireme: Trireme, client: Client, namespace: str) -> None:
    made = await client.create(TRAINING_JOBS, namespace, job())
    recorder = Recorder(client, instance="trireme-0")
    writing = asyncio.create_task(recorder.run())
    for _ in range(3):
        recorder.record(made, "Warning", "ImagePullBackOff", "é" * 1000)
        await _events(client, namespace, lambda found: bool(found))
    recorder.record(made, "Normal", "Running", "Running: 2/2 pods")
    backing_off, running = await _events(
        client, namespace, lambda found: len(found) == 2 and found[0].get("series", {}).get("count") == 3
    )
    writing.cancel()
    assert backing_off["note"].startswith("é")
    assert len(backing_off["note"].encode()) <= 1024
    assert running["reason"] == "Running"
    _, page, _ = await trireme("describe", "digits", "-n", namespace)
    lines = page.split("Events:\n")[1].splitlines()
    assert [line.split()[-5:] for line in lines if "Running" in line] == [
        ["Normal", "Running", "Running:", "2/2", "pods"]
    ]
    assert any("(x3)" in line and "ImagePullBackOff" in line for line in lines)


async def _events(client: Client, namespace: str, holds: Callable[[list[dict]], bool]) -> list[dict]:  # type: ignore[type-arg]
    """As soon as `holds`; oldest first."""
    async with asyncio.timeout(SECONDS):
        while True:
            found, _ = await client.list(EVENTS, namespace)
            ours = sorted(
                (each for each in found if each["regarding"]["kind"] == "TrainingJob"),
                key=lambda each: each["eventTime"],
            )
            if holds(ours):
                return ours
            await asyncio.sleep(0.05)


async def test_describe_without_the_right_to_read_events(
    capsys: pytest.CaptureFixture[str], client: Client, namespace: str, kubeconfig_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made = await client.create(TRAINING_JOBS, namespace, job())
    listing = Client.list

    async def refuse(self: Client, resource: Resource, *arguments: Any, **options: Any) -> Any:
        if resource == EVENTS:
            raise ApiError("GET events", 403, "Forbidden", "events is forbidden: User u cannot list it")
        return await listing(self, resource, *arguments, **options)

    monkeypatch.setattr(Client, "list", refuse)
    found = await describe_command.ask(Target(kubeconfig_path, None, namespace), "digits")
    assert found == (await find_job(client, namespace, "digits"), [], [])
    assert found[0]["metadata"]["uid"] == made["metadata"]["uid"]
    assert capsys.readouterr().err == "trireme: no Events are shown: events is forbidden: User u cannot list it\n"
