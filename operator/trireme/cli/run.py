"""`trireme run`: one job on the pocket cluster, from its YAML to its exit code."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from trireme.cli.display import Display, Screen, summary
from trireme.cli.errors import FAILED, INTERRUPTED, JobFailed, NotTried, invalid_is_failed
from trireme.cli.files import JOB_FILE, JobFile, read
from trireme.cli.mounts import tell_failed_mounts
from trireme.cli.output import emit
from trireme.cli.ranks import trainer_container
from trireme.cli.signals import on_stop
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import TRAINING_JOBS, of_object
from trireme.contract import names
from trireme.pocket.cluster import PocketCluster
from trireme.spec.parse import ours, parse

LOG_DRAIN_SECONDS = 5.0
"""How long the last log lines are awaited after a job has finished."""


@click.command()
@click.argument("file", type=JOB_FILE)
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Print the finished TrainingJob like this.")
@click.option("--gpus", type=click.IntRange(0, 1024), default=0, show_default=True, help="Pretend GPUs of the node.")
@click.option("--logs/--no-logs", default=True, show_default=True, help="Show the pods' logs as they come.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Give up after so many seconds; exits 3.")
@click.option("-v", "--verbose", is_flag=True, help="Show what the operator and the pocket cluster do.")
def run(file: Path, output: str | None, gpus: int, logs: bool, timeout: float | None, verbose: bool) -> None:
    """Run the TrainingJob in FILE on this machine: no cluster, no containers.

    A pocket cluster (a small Kubernetes API server and a kubelet that starts local processes) comes
    up, the operator runs on it, the job is applied and followed. `python3` in the job is the
    interpreter that runs trireme; images are not pulled. Ctrl-C stops everything it started.

    \b
    Exits 0 if the job Succeeded, 1 if it Failed or is invalid, 3 if it could not be tried,
    130 after Ctrl-C. With -o the job is on standard output and everything else on standard error.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    with invalid_is_failed(file):
        content = read(file)
        spec = parse(content.job).spec
    if spec.suspend or not ours(content.job):
        which = "suspend is true" if spec.suspend else f"managedBy is {spec.managed_by}"
        raise NotTried(f"{file}: spec.{which}: nothing would run it here")
    console = Screen(stderr=bool(output), highlight=False)
    try:
        job = asyncio.run(_run(content, console, gpus=gpus, logs=logs, limit=timeout))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted: the job was stopped and removed", err=True)
        raise SystemExit(INTERRUPTED) from None
    except ApiError as error:
        raise JobFailed(f"{file}: {error}") from error
    except NotFinished as error:
        raise NotTried(str(error)) from error
    except OSError as error:
        raise NotTried(f"the pocket cluster could not start: {error}") from error
    if output:
        emit(job, output)
    if job["status"]["phase"] != "Succeeded":
        click.echo(summary(job), err=True)
        sys.exit(FAILED)


class NotFinished(Exception):
    """The time given to the job is over; the text says where it was."""


async def _run(content: JobFile, console: Console, *, gpus: int, logs: bool, limit: float | None) -> dict[str, Any]:
    """Returns the finished job. Raises NotFinished."""
    on_stop(cancelling())
    with tempfile.TemporaryDirectory(prefix="trireme-") as folder, Display(console) as display:
        async with PocketCluster(Path(folder), gpus=gpus) as cluster, cluster.client() as client:
            namespace = content.job["metadata"].get("namespace", "default")
            for other in content.others:
                await client.create(of_object(other), other["metadata"].get("namespace", namespace), other)
            created = await client.create(TRAINING_JOBS, namespace, content.job)
            followers = Followers(client, display) if logs else None
            mounts = asyncio.create_task(tell_failed_mounts(client, namespace, display))
            job = created
            try:
                async with asyncio.timeout(limit):
                    async for job in states(client, created):
                        if followers:
                            followers.follow(job)
                            if finished(job):  # the logs first, then how it ended
                                await followers.drain()
                        display.job(job)
            except TimeoutError:
                where = job.get("status", {}).get("message", "nothing was said of it yet")
                raise NotFinished(f"the job has not finished within {limit:g}s: {where}") from None
            finally:
                mounts.cancel()
                await asyncio.wait((mounts,))
                if followers:
                    await followers.stop()
    return job


def cancelling() -> Callable[[], None]:
    """Cancels the running task when it is called first: Ctrl-C pressed again does not disturb the cleaning up."""
    task = asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        if not task.cancelling():
            task.cancel()

    return cancel


async def states(client: Client, job: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The job now and after each change, up to the state in which it has finished."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    while True:
        job = await client.get(TRAINING_JOBS, namespace, name)
        yield job
        if finished(job):
            return
        lines = client.watch(
            TRAINING_JOBS,
            namespace,
            resource_version=job["metadata"]["resourceVersion"],
            field_selector=f"metadata.name={name}",
        )
        async for line in lines:
            event = json.loads(line)
            if event["type"] == "MODIFIED":
                yield event["object"]
                if finished(event["object"]):
                    return
            elif event["type"] != "BOOKMARK":
                break


def finished(job: dict[str, Any]) -> bool:
    return job.get("status", {}).get("phase") in ("Succeeded", "Failed")


class Followers:
    """One log follower a pod, started when the job has started; another one for each successor of a pod."""

    def __init__(self, client: Client, display: Display) -> None:
        self._client = client
        self._display = display
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._attempts: dict[str, int] = {}
        """By pod name, the job's attempt when its log was begun."""

    def follow(self, job: dict[str, Any]) -> None:
        status = job.get("status", {})
        if not status.get("startTime") and not finished(job):
            return
        for role, counts in ((names.ROLE_WORKER, "workers"), (names.ROLE_SERVER, "servers")):
            for index in range((status.get(counts) or {}).get("desired", 0)):
                pod = names.pod_name(job["metadata"]["name"], role, index)
                if pod not in self._tasks or self._succeeded(pod, job):
                    copy = self._copy(job["metadata"]["namespace"], pod, trainer_container(job, role))
                    self._tasks[pod] = asyncio.create_task(copy)
                    self._attempts[pod] = status.get("attempt", 0)

    def _succeeded(self, pod: str, job: dict[str, Any]) -> bool:
        """Whether another pod of the name has begun to run since the log of the last one ended."""
        status = job["status"]
        later = status.get("attempt", 0) > self._attempts[pod]
        return later and self._tasks[pod].done() and (status.get("phase") == "Running" or finished(job))

    async def drain(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=LOG_DRAIN_SECONDS)
            for task in late:
                task.cancel()
            if late:
                self._display.log(f"trireme: the rest of {len(late)} long logs is not shown")

    async def stop(self) -> None:
        """While the client can still be used: a follower does not bear that it is closed."""
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _copy(self, namespace: str, pod: str, container: str | None) -> None:
        rest = b""
        try:
            async for chunk in self._client.logs(namespace, pod, container, follow=True):
                lines, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline:
                    self._display.log(lines.decode(errors="replace"))
        except ApiError as error:
            if not (error.not_found or error.status == HTTPStatus.BAD_REQUEST):  # a container that left no log
                self._display.log(f"trireme: the log of {pod} broke off: {error}")
        if rest:
            self._display.log(rest.decode(errors="replace"))
