"""`trireme plan`: every object a job would create, every rank and its environment; nothing is created."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from trireme.cli.errors import invalid_is_failed
from trireme.cli.files import JOB_FILE, read
from trireme.cli.output import emit
from trireme.contract import bundle, names
from trireme.contract.environ import Meeting, process_environment
from trireme.contract.ranks import places
from trireme.plan import gang, manifests, planner
from trireme.plan.plan import GroupKind, Plan
from trireme.plan.support import support
from trireme.spec.model import Gang
from trireme.spec.parse import parse

AT_START = "(known when the pods meet)"
NO_UID = "00000000-0000-0000-0000-000000000000"


@click.command()
@click.argument("file", type=JOB_FILE)
@click.option("-o", "--output", type=click.Choice(["table", "yaml", "json"]), default="table", show_default=True)
def plan(file: Path, output: str) -> None:
    """Show what FILE would create, without a cluster.

    The table lists the objects and the ranks; yaml and json hold the whole manifests and every
    process's environment. Tokens and UIDs are given out when a job is created and stand as zeros.
    """
    with invalid_is_failed(file):
        job = parse(read(file).job).model_copy(update={"uid": NO_UID})
    agent = bundle.agent()
    # No cluster is asked: a gang asked for by name is shown in its newest form, Auto finds none.
    served = frozenset(kind.value for kind in GroupKind) if job.spec.scheduling.gang is not Gang.AUTO else frozenset()
    planned = planner.plan(job, attempt=0, agent=agent.digest, group=gang.choose(job.spec, served))
    ranks = _ranks(planned)
    supports = [each.manifest for each in support(planned, "0" * 64, agent.content)]
    if output == "table":
        _print(planned, supports, ranks)
        return
    objects = [*supports, *(manifests.pod(planned, pod) for pod in planned.pods)]
    # Pods share parts of one template; a round trip through JSON keeps YAML from writing them as anchors.
    emit(json.loads(json.dumps({"objects": objects, "ranks": ranks})), output)


def _ranks(planned: Plan) -> list[dict[str, Any]]:
    """One entry a process, in rank order."""
    ranks = []
    job = planned.job
    master = names.pod_hostname(job.name, names.ROLE_WORKER, 0, job.namespace)
    workers = planned.of(names.ROLE_WORKER)
    for pod, member in zip(workers, places([pod.slots for pod in workers]), strict=True):
        meeting = Meeting(1, pod.name, AT_START, ("127.0.0.1", 0), (master, 0))
        for place in member:
            environment = process_environment(place, meeting)
            known = {key: AT_START if key.endswith("_PORT") else value for key, value in environment.items()}
            ranks.append({"rank": place.rank, "pod": pod.name, "environment": dict(planned.environment) | known})
    return ranks


def _print(planned: Plan, supports: list[dict[str, Any]], ranks: list[dict[str, Any]]) -> None:
    console = Console()
    job = planned.job
    objects = Table("KIND", "NAME", "COUNT", title=f"{job.namespace}/{job.name} would create", title_justify="left")
    for each in supports:
        shared = "ownerReferences" not in each["metadata"]
        objects.add_row(each["kind"], each["metadata"]["name"], "1 for the namespace" if shared else "1")
    for role in planned.roles:
        pods = planned.of(role)
        objects.add_row("Pod", f"{pods[0].name} .. {pods[-1].index}", str(len(pods)))
    console.print(objects)
    table = Table("RANK", "LOCAL", "CROSS", "POD", title="Ranks", title_justify="left")
    shown = ranks if len(ranks) <= 64 else ranks[:32] + ranks[-32:]
    for position, rank in enumerate(shown):
        if len(shown) < len(ranks) and position == 32:
            table.add_row("...", "", "", f"({len(ranks) - 64} more; -o json has all)")
        own = rank["environment"]
        local = f"{own['HOROVOD_LOCAL_RANK']}/{own['HOROVOD_LOCAL_SIZE']}"
        cross = f"{own['HOROVOD_CROSS_RANK']}/{own['HOROVOD_CROSS_SIZE']}"
        table.add_row(f"{rank['rank']}/{own['RANK'] and own['WORLD_SIZE']}", local, cross, rank["pod"])
    console.print(table)
