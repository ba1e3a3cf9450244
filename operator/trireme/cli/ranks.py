"""Which ranks each pod of a job has: from its spec, and from where its pods run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trireme.contract import names
from trireme.contract.ranks import places
from trireme.contract.topology import Seat, ring
from trireme.plan.manifests import domain_label
from trireme.plan.plan import Plan
from trireme.plan.planner import plan
from trireme.spec.errors import InvalidSpec
from trireme.spec.parse import parse


def ranks_of(job: Mapping[str, Any], pods: Iterable[Mapping[str, Any]] = ()) -> dict[str, range]:
    """By pod name; empty for a job that cannot run as it is written.

    `pods` are the job's pods as the API server has them: the coordinator will order them, or has ordered them, by the
    same nodes. A pod without a node counts as alone on one.
    """
    try:
        planned = plan(parse(job), attempt=0, agent="")
    except InvalidSpec:
        return {}
    by_index = {pod.index: pod for pod in planned.of(names.ROLE_WORKER)}
    ordered = [by_index[index] for index in ring(_seats(planned, pods))]
    members = places([pod.slots for pod in ordered])
    return {pod.name: range(member[0].rank, member[-1].rank + 1) for pod, member in zip(ordered, members, strict=True)}


def _seats(planned: Plan, pods: Iterable[Mapping[str, Any]]) -> Iterable[Seat]:
    by_name = {pod["metadata"]["name"]: pod for pod in pods}
    label = domain_label(planned.job)
    for each in planned.of(names.ROLE_WORKER):
        pod = by_name.get(each.name, {})
        domain = pod.get("metadata", {}).get("labels", {}).get(label, "")
        yield Seat(each.index, pod.get("spec", {}).get("nodeName") or each.name, domain)


def span(ranks: range) -> str:
    """`3`, or `0-7`."""
    return str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]}-{ranks[-1]}"


def role_of(pod: str) -> str:
    """From the pod's name, as contract.names forms it."""
    return pod.rsplit("-", 2)[1]


def trainer_container(job: Mapping[str, Any], role: str = names.ROLE_WORKER) -> str | None:
    """The name of the container that trains, or serves; None when the template does not say."""
    spec = job["spec"]
    template = (spec.get(role) or {}).get("template") or spec[names.ROLE_WORKER]["template"]
    containers = template.get("spec", {}).get("containers") or [{}]
    found = [container.get("name") for container in containers]
    return names.TRAINER_CONTAINER if names.TRAINER_CONTAINER in found else found[0]
