"""Which ranks each pod of a job has, from its spec alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trireme.contract import names
from trireme.contract.ranks import places
from trireme.plan.planner import plan
from trireme.spec.errors import InvalidSpec
from trireme.spec.parse import parse


def ranks_of(job: Mapping[str, Any]) -> dict[str, range]:
    """By pod name; empty for a job that cannot run as it is written."""
    try:
        planned = plan(parse(job), attempt=0, agent="")
    except InvalidSpec:
        return {}
    members = places([pod.slots for pod in planned.pods])
    return {
        pod.name: range(member[0].rank, member[-1].rank + 1) for pod, member in zip(planned.pods, members, strict=True)
    }


def span(ranks: range) -> str:
    """`3`, or `0-7`."""
    return str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]}-{ranks[-1]}"


def trainer_container(job: Mapping[str, Any]) -> str | None:
    """The name of the container that trains; None when the template does not say."""
    containers = job["spec"]["worker"]["template"].get("spec", {}).get("containers") or [{}]
    found = [container.get("name") for container in containers]
    return names.TRAINER_CONTAINER if names.TRAINER_CONTAINER in found else found[0]
