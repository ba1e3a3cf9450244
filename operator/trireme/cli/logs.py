"""`trireme logs`: what all pods of a job wrote, as one text."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import click

from trireme.cli.display import printable, summary
from trireme.cli.errors import JobFailed
from trireme.cli.follow import FINISHED, Follower, started
from trireme.cli.lines import START, Line, Mark, Source, merged, wanted
from trireme.cli.mirror import Mirror
from trireme.cli.ranks import ranks_of, role_of, trainer_container
from trireme.cli.target import Target, find_job, on_cluster, pod_selector, pods_of, target, target_options
from trireme.cluster import podview
from trireme.cluster.client import Client, Object
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.pocket.objects.formats import parse_duration

COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_yellow")


class Duration(click.ParamType[int]):
    """`90s`, `1h30m`; becomes seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return max(1, round(parse_duration(str(value)).total_seconds()))
        except ValueError:
            self.fail(f"{value!r} is no duration: write 90s, 10m or 1h30m", param, ctx)


@click.command()
@click.argument("name")
@target_options
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has finished.")
@click.option("--rank", "ranks", type=click.IntRange(min=0), multiple=True, help="Only this rank; may be repeated.")
@click.option("--tail", type=click.IntRange(min=0), help="Only the last lines, so many in all.")
@click.option("--since", type=Duration(), help="Only what is younger: 90s, 10m, 1h30m.")
def logs(
    name: str,
    kubeconfig: Path | None,
    context: str | None,
    namespace: str | None,
    follow: bool,
    ranks: tuple[int, ...],
    tail: int | None,
    since: int | None,
) -> None:
    """Print the logs of all pods of the TrainingJob NAME, merged by time.

    Each line begins with its rank in brackets; lines of the pods' agents begin with the pod. With -f
    it waits for pods to start, follows those that come later, and ends when the job has finished.
    """
    where = target(kubeconfig, context, namespace)
    on_cluster(_logs(where, name, frozenset(ranks), follow=follow, tail=tail, since=since))


async def _logs(
    where: Target, name: str, ranks: frozenset[int], *, follow: bool, tail: int | None, since: int | None
) -> None:
    async with where.client() as client:
        job = await find_job(client, where.namespace, name)
        found = await pods_of(client, where.namespace, name)
        hosts = _hosts(job, found, ranks)
        source = Source(client, where.namespace, lambda pod: trainer_container(job, role_of(pod)))
        pods = [podview.of_object(pod) for pod in found]
        ready = [pod.name for pod in pods if started(pod) and (not hosts or pod.name in hosts)]
        seen: dict[str, Mark] = {}
        async with aclosing(history(source, ready, ranks, tail=tail, since=since, seen=seen)) as lines:
            async for line in lines:
                _show(line)
        if follow:
            await _follow(client, where.namespace, name, source, ranks, seen)
        elif not ready:
            click.echo(f"nothing yet: {_why(job)}", err=True)


def _hosts(job: Object, pods: Sequence[Object], ranks: frozenset[int]) -> frozenset[str]:
    """The pods of these ranks; none: all pods. Raises JobFailed for a rank that the job does not have."""
    of_pods = ranks_of(job, pods)
    world = sum(map(len, of_pods.values()))
    missing = sorted(rank for rank in ranks if of_pods and rank >= world)
    if missing:
        raise JobFailed(f"there is no rank {missing[0]}: the ranks of {job['metadata']['name']} are 0 to {world - 1}")
    return frozenset(pod for pod, own in of_pods.items() if not ranks.isdisjoint(own))


async def history(
    source: Source,
    pods: Sequence[str],
    ranks: frozenset[int],
    *,
    tail: int | None,
    since: int | None,
    seen: dict[str, Mark],
) -> AsyncGenerator[Line, None]:
    """What the pods have written so far, by time; `seen` then says how far each was read."""
    streams = [_readable(source, pod, None if ranks else tail, since, seen) for pod in pods]
    last: deque[Line] = deque(maxlen=tail)
    async with aclosing(merged(streams)) as lines:
        async for line in lines:
            if not wanted(line, ranks):
                continue
            if tail is None:
                yield line
            else:
                last.append(line)
    for line in last:
        yield line


async def _readable(
    source: Source, pod: str, tail: int | None, since: int | None, seen: dict[str, Mark]
) -> AsyncGenerator[Line, None]:
    """A pod that cannot be read leaves the others readable."""
    try:
        async with aclosing(source.read(pod, tail=tail, since_seconds=since)) as lines:
            async for line in lines:
                seen[pod] = seen.get(pod, START).moved(line)
                yield line
    except ApiError as error:
        if not error.not_found:
            click.echo(f"trireme: the log of {pod} cannot be read: {error.message}", err=True)


async def _follow(
    client: Client, namespace: str, name: str, source: Source, ranks: frozenset[int], seen: dict[str, Mark]
) -> None:
    changed = asyncio.Event()
    said: list[str] = []

    def waiting(message: str) -> None:
        if message not in said[-1:]:
            said.append(message)
            click.echo(f"nothing yet: {printable(message)}", err=True)

    async with (
        Mirror(client, TRAINING_JOBS, namespace, changed, field_selector=f"metadata.name={name}") as jobs,
        Mirror(client, PODS, namespace, changed, label_selector=pod_selector(name)) as pods,
    ):
        follower = Follower(
            source, jobs, pods, changed, seen=seen, show=lambda line: _show(line) if wanted(line, ranks) else None,
            waiting=waiting,
        )  # fmt: skip
        job = await follower.run()
    click.echo(f"trireme: {_why(job)}" if job else f"trireme: {name} was deleted", err=True)


def _why(job: Object) -> str:
    status = job.get("status") or {}
    if status.get("phase") in FINISHED:
        return summary(job)
    return printable(status.get("message") or "no operator has looked at the job yet")


def _show(line: Line) -> None:
    """click takes the colours away where no terminal is."""
    rank = line.rank
    if rank is None:
        label = "-".join(line.pod.rsplit("-", 2)[-2:])
        click.echo(f"{click.style(label, dim=True)} {line.text.removeprefix(f'[{label}] ')}")
    else:
        head, _, text = line.text.partition(" ")
        click.echo(f"{click.style(head, fg=COLOURS[rank % len(COLOURS)])} {text}")
