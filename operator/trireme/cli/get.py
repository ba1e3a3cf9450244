"""`trireme get`: the jobs of a cluster as a table, once or live, or as the objects themselves."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from trireme.cli.mirror import Mirror
from trireme.cli.output import emit
from trireme.cli.rows import coloured, columns, plain, rows
from trireme.cli.target import Target, find_job, on_cluster, target, target_options
from trireme.cluster.client import Object
from trireme.cluster.resources import TRAINING_JOBS

REFRESH_SECONDS = 1.0
"""How often ages on the screen are brought up to date."""


@click.command()
@click.argument("name", required=False)
@target_options
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="The jobs of all namespaces.")
@click.option("-w", "--watch", is_flag=True, help="Go on: a live table on a terminal, a line a change when piped.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="The objects instead of the table.")
def get(
    name: str | None,
    kubeconfig: Path | None,
    context: str | None,
    namespace: str | None,
    everywhere: bool,
    watch: bool,
    output: str | None,
) -> None:
    """Show the TrainingJobs of a cluster, or the one called NAME.

    \b
        trireme get             the jobs of the context's namespace
        trireme get -A -w       those of all namespaces, live, until Ctrl-C
        trireme get digits -o yaml
    """
    if name and everywhere:
        raise click.UsageError("a NAME is in one namespace: -A is of no use with it")
    if watch and output:
        raise click.UsageError("-w shows a table: it does not go with -o")
    where = target(kubeconfig, context, namespace)
    if watch:
        on_cluster(_watch(where, name, everywhere))
        return
    jobs = on_cluster(_list(where, name, everywhere))
    if output:
        emit(jobs[0] if name else {"apiVersion": "v1", "kind": "List", "items": jobs}, output)
    elif not jobs:
        click.echo("there are no TrainingJobs" + ("" if everywhere else f" in namespace {where.namespace}"), err=True)
    else:
        _print(Console(highlight=False), jobs, everywhere)


def _print(console: Console, jobs: list[Object], everywhere: bool) -> None:
    if console.is_terminal:
        console.print(coloured(rows(jobs), namespaces=everywhere))
    else:
        click.echo("\n".join(columns(plain(rows(jobs), namespaces=everywhere))))


async def _list(where: Target, name: str | None, everywhere: bool) -> list[Object]:
    async with where.client() as client:
        if name is not None:
            return [await find_job(client, where.namespace, name)]
        items, _ = await client.list(TRAINING_JOBS, None if everywhere else where.namespace)
        return sorted(items, key=lambda job: (job["metadata"]["namespace"], job["metadata"]["name"]))


async def _watch(where: Target, name: str | None, everywhere: bool) -> None:
    await _list(where, name, everywhere)  # what is wrong with the cluster is told now; later failures are lived through
    changed = asyncio.Event()
    field = f"metadata.name={name}" if name else None
    namespace = None if everywhere else where.namespace
    async with (
        where.client() as client,
        Mirror(client, TRAINING_JOBS, namespace, changed, field_selector=field) as mirror,
    ):
        console = Console(highlight=False)
        await (
            _live(console, mirror, changed, everywhere) if console.is_terminal else _lines(mirror, changed, everywhere)
        )


async def _live(console: Console, mirror: Mirror, changed: asyncio.Event, everywhere: bool) -> None:
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            changed.clear()
            live.update(coloured(rows(mirror.objects()), namespaces=everywhere), refresh=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await changed.wait()


async def _lines(mirror: Mirror, changed: asyncio.Event, everywhere: bool) -> None:
    """A line for each job that is new or has changed; columns never get narrower."""
    heading, *_ = plain([], namespaces=everywhere)
    widths = [len(cell) for cell in heading]
    said: dict[str, str] = {}
    while True:
        changed.clear()
        news = [job for job in mirror.objects() if said.get(_uid(job)) != job["metadata"]["resourceVersion"]]
        cells = plain(rows(news), namespaces=everywhere)[0 if not said else 1 :]
        widths = [max(column) for column in zip(widths, *([len(cell) for cell in line] for line in cells), strict=True)]
        for line in columns(cells, widths):
            click.echo(line)
        said.update({_uid(job): job["metadata"]["resourceVersion"] for job in news})
        await changed.wait()


def _uid(job: Object) -> str:
    return str(job["metadata"]["uid"])
