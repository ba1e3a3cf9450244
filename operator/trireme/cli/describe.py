"""`trireme describe`: everything known of one job, for somebody who wonders why it is where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from trireme.cli.display import printable, progress_line
from trireme.cli.ranks import ranks_of, span
from trireme.cli.rows import columns
from trireme.cli.target import Target, find_job, on_cluster, pods_of, target, target_options
from trireme.cluster import podview
from trireme.cluster.client import Client, Object
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import EVENTS
from trireme.lifecycle.observe import STARTING_REASONS
from trireme.lifecycle.pod import Pod, PodPhase
from trireme.pocket.objects.ages import age

EVENTS_SHOWN = 20
AGAIN = ("restarts", "disruptions")


@click.command()
@click.argument("name")
@target_options
def describe(name: str, kubeconfig: Path | None, context: str | None, namespace: str | None) -> None:
    """Show everything about the TrainingJob NAME.

    Its state and conditions, each pod with its ranks, the rank that failed with its last lines, and
    the latest Events.
    """
    job, pods, events = on_cluster(ask(target(kubeconfig, context, namespace), name))
    click.echo("\n".join(description(job, pods, events, datetime.now(UTC))))


async def ask(where: Target, name: str) -> tuple[Object, list[Object], list[Object]]:
    """The job, its pods and its Events."""
    async with where.client() as client:
        job = await find_job(client, where.namespace, name)
        pods, events = await asyncio.gather(pods_of(client, where.namespace, name), _events_of(client, job))
        return job, pods, events


async def _events_of(client: Client, job: Object) -> list[Object]:
    """None, and a word about it, for somebody who may not read Events."""
    regarding = f"regarding.uid={job['metadata']['uid']}"
    try:
        events, _ = await client.list(EVENTS, job["metadata"]["namespace"], field_selector=regarding)
    except ApiError as error:
        if error.status != 403:
            raise
        click.echo(f"trireme: no Events are shown: {error.message}", err=True)
        return []
    return events


def description(job: Object, pods: Sequence[Object], events: Sequence[Object], now: datetime) -> list[str]:
    """The lines of the whole page."""
    status = job.get("status") or {}
    own = [podview.of_object(pod) for pod in pods]
    ranks = ranks_of(job, pods)
    lines = [
        *_head(job, status, now),
        *_section("Conditions", columns(_conditions(status.get("conditions") or (), now))),
        *_section("Pods", columns(_pods([p for p in own if p.owner_uid == job["metadata"]["uid"]], ranks, now))),
        *_section("Failure", _failure(status.get("failure") or {})),
        *_section("Events", columns(_events(events, now))),
    ]
    return [printable(line) for line in lines]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    content = [f"  {line}" for line in lines]
    return [f"{title}:", *content] if content else []


def _head(job: Object, status: dict[str, Any], now: datetime) -> list[str]:
    metadata, spec = job["metadata"], job["spec"]
    strategy = spec.get("strategy", "AllReduce")
    kind = {
        "AllReduce": (spec.get("allReduce") or {}).get("backend"),
        "ParameterServer": (spec.get("parameterServer") or {}).get("consistency"),
    }.get(strategy)
    started, ended = status.get("startTime"), status.get("completionTime")
    facts = [
        ("Name", metadata["name"]),
        ("Namespace", metadata["namespace"]),
        ("Phase", status.get("phase") or "Pending"),
        ("Message", status.get("message") or "no operator has looked at it yet"),
        ("Strategy", f"{strategy}, {kind}" if kind else strategy),
        ("Workers", status.get("workersReady", "")),
        ("Progress", progress_line(status.get("progress") or {})),
        ("Attempt", ", ".join((str(status.get("attempt", 0)), *(f"{each} {status.get(each, 0)}" for each in AGAIN)))),
        ("Submitted", _ago(metadata.get("creationTimestamp"), now)),
        ("Started", _ago(started, now)),
        ("Finished", _ago(ended, now)),
    ]
    return [f"{title + ':':<13}{text}" for title, text in facts if text]


def _ago(time: str | None, now: datetime) -> str:
    return f"{time}, {age(time, now)} ago" if time else ""


def _conditions(conditions: Sequence[dict[str, Any]], now: datetime) -> Iterator[tuple[str, ...]]:
    if conditions:
        yield "TYPE", "STATUS", "SINCE", "REASON"
    for each in conditions:
        yield each["type"], each["status"], age(each.get("lastTransitionTime"), now), each["reason"]


def _pods(pods: Sequence[Pod], ranks: dict[str, range], now: datetime) -> Iterator[tuple[str, ...]]:
    if pods:
        yield "NAME", "RANKS", "STATE", "NODE", "ADDRESS", "AGE"
    for pod in sorted(pods, key=lambda pod: (pod.role, pod.index)):
        of_pod = ranks.get(pod.name)
        created = datetime.fromtimestamp(pod.created_at, UTC).isoformat()
        yield (
            pod.name, span(of_pod) if of_pod else "-", state(pod), pod.node or "-", pod.ip or "-", age(created, now)
        )  # fmt: skip


def state(pod: Pod) -> str:
    """A pod in one or two words: what a reader must know first."""
    if pod.terminated is not None:
        why = pod.reason or pod.terminated.reason or "Ended"
        return why if pod.terminated.exit_code == 0 else f"{why}, exit code {pod.terminated.exit_code}"
    if pod.phase in (PodPhase.SUCCEEDED, PodPhase.FAILED):
        return pod.reason or pod.phase.value
    if pod.deleting:
        return "Terminating"
    if pod.gated:
        return "SchedulingGated"
    if pod.unschedulable:
        return "Unschedulable"
    if pod.running:
        return "Running"
    return pod.waiting_reason if pod.waiting_reason not in STARTING_REASONS else "Starting" if pod.node else "Pending"


def _failure(failure: dict[str, Any]) -> Iterator[str]:
    if not failure:
        return
    rank = f", rank {failure['rank']}" if failure.get("rank") is not None else ""
    node = f" on {failure['node']}" if failure.get("node") else ""
    code = f", exit code {failure['exitCode']}" if failure.get("exitCode") is not None else ""
    ended_by = f", {failure['signal']}" if failure.get("signal") else ""
    yield f"{failure['pod']}{rank}{node}: {failure['reason']}{code}{ended_by}"
    yield failure["message"]
    if failure.get("logTail"):
        yield "Last lines of its output:"
        yield from (f"  {line}" for line in failure["logTail"])


def _events(events: Sequence[Object], now: datetime) -> Iterator[tuple[str, ...]]:
    """The latest last, as they are read; a series counts as one, at its last time."""
    if events:
        yield "LAST SEEN", "TYPE", "REASON", "NOTE"
    for event in sorted(events, key=_seen)[-EVENTS_SHOWN:]:
        count = (event.get("series") or {}).get("count") or event.get("deprecatedCount") or 1
        times = f" (x{count})" if count > 1 else ""
        note = " ".join((event.get("note") or "").split())
        yield age(_seen(event), now) + times, event.get("type") or "", event.get("reason") or "", note


def _seen(event: Object) -> str:
    series = event.get("series") or {}
    return (
        series.get("lastObservedTime")
        or event.get("eventTime")
        or event.get("deprecatedLastTimestamp")
        or str(event["metadata"].get("creationTimestamp", ""))
    )
