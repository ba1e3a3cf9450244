"""Gang scheduling: which of the cluster's kinds of pod groups a job takes, the group, and the pods' link to it.

The operator asks for a gang, a scheduler makes it one. What the API server serves is an argument here (docs/adr/0011).
"""

from __future__ import annotations

from collections.abc import Set

from trireme.contract import names
from trireme.plan.manifests import Manifest, owned
from trireme.plan.plan import ApiKind, GroupKind, Plan, Unavailable
from trireme.spec.model import Gang, JobSpec
from trireme.spec.scheduling import VOLCANO_SCHEDULER

_KINDS = {
    Gang.NATIVE: (GroupKind.NATIVE_V1BETA1, GroupKind.NATIVE_V1ALPHA2, GroupKind.NATIVE_V1ALPHA1),
    Gang.VOLCANO: (GroupKind.VOLCANO,),
    Gang.COSCHEDULING: (GroupKind.COSCHEDULING,),
}
"""Best first."""


def wanted(spec: JobSpec) -> tuple[GroupKind, ...]:
    """The kinds that would do, best first; empty when the job is to have no group."""
    said = spec.scheduling
    if said.gang is not Gang.AUTO:
        return _KINDS.get(said.gang, ())
    if said.queue:  # Kueue admits all pods or none
        return ()
    scheduler = spec.worker.template["spec"].get("schedulerName")
    if scheduler == VOLCANO_SCHEDULER:
        gangs: tuple[Gang, ...] = (Gang.VOLCANO,)
    elif scheduler:  # the template has the last word, and Volcano's groups are for Volcano's scheduler
        gangs = (Gang.NATIVE, Gang.COSCHEDULING)
    else:
        gangs = (Gang.NATIVE, Gang.VOLCANO, Gang.COSCHEDULING)
    return tuple(kind for gang in gangs for kind in _KINDS[gang])


def choose(spec: JobSpec, served: Set[ApiKind]) -> GroupKind | None:
    """`served`: what the API server serves."""
    return next((kind for kind in wanted(spec) if kind.value in served), None)


def unavailable(spec: JobSpec, served: Set[ApiKind]) -> Unavailable | None:
    """A gang that the job asks for by name and cannot have; `Auto` asks for none."""
    kinds = wanted(spec)
    if spec.scheduling.gang is Gang.AUTO or not kinds or choose(spec, served) is not None:
        return None
    needed = " or ".join(f"{kind} of {version}" for version, kind in (each.value for each in kinds))
    text = f"gang {spec.scheduling.gang.value} needs {needed}, and the API server serves none"
    return Unavailable("GangUnavailable", text)


def pod_group(plan: Plan, kind: GroupKind) -> Manifest:
    """The group of all pods of the plan; as many as the job needs are placed at once."""
    size = plan.minimum
    api_version, name_of_kind = kind.value
    if kind is GroupKind.VOLCANO:
        said = plan.job.spec.scheduling
        options = {
            "queue": said.queue,
            "priorityClassName": plan.templates[names.ROLE_WORKER]["spec"].get("priorityClassName"),
        }
        spec: Manifest = {"minMember": size, **{key: value for key, value in options.items() if value}}
    elif kind is GroupKind.COSCHEDULING:
        spec = {"minMember": size}
    elif kind is GroupKind.NATIVE_V1ALPHA1:
        spec = {"podGroups": [{"name": names.ROLE_WORKER, "policy": {"gang": {"minCount": size}}}]}
    else:
        spec = {"schedulingPolicy": {"gang": {"minCount": size}}}
    name = names.pod_group_name(plan.job.name, plan.digest)
    return {"apiVersion": api_version, "kind": name_of_kind, "metadata": owned(plan.job, name), "spec": spec}


def linked(template: Manifest, kind: GroupKind, group: str) -> Manifest:
    """The template with what tells a pod's scheduler its group."""
    metadata, spec = template["metadata"], template["spec"]
    if kind is GroupKind.VOLCANO:
        metadata = {**metadata, "annotations": {**metadata["annotations"], names.VOLCANO_GROUP: group}}
        spec = {**spec, "schedulerName": VOLCANO_SCHEDULER}
    elif kind is GroupKind.COSCHEDULING:
        metadata = {**metadata, "labels": {**metadata["labels"], names.COSCHEDULING_GROUP: group}}
    elif kind is GroupKind.NATIVE_V1ALPHA1:
        spec = {**spec, "workloadRef": {"name": group, "podGroup": names.ROLE_WORKER}}
    else:
        spec = {**spec, "schedulingGroup": {"podGroupName": group}}
    return {**template, "metadata": metadata, "spec": spec}
