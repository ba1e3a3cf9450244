"""Which node a pod fits on, and if none, why, in the words of kube-scheduler. Pure.

GPUs and every other countable resource are enforced against what the node offers. CPU, memory and local storage are
not: a laptop has less of them than a training pod asks for, and shares them well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from trireme.pocket.apiserver.quantity import parse_quantity

Object = dict[str, Any]
Amounts = Mapping[str, Fraction]

NOT_ENFORCED = frozenset({"cpu", "memory", "ephemeral-storage"})
"""Resources that a pod may ask for without the node having them."""
OVER = ("Succeeded", "Failed")
"""Phases of a pod that will not run again."""
_BLOCKING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Unschedulable:
    """The message of the condition PodScheduled=False."""

    message: str


def fit(pod: Object, nodes: Iterable[Object], used: Mapping[str, Amounts]) -> str | Unschedulable:
    """Name of the first node, by name, that can take the pod; `used` is what each node's pods hold."""
    reasons: Counter[str] = Counter()
    count = 0
    for node in sorted(nodes, key=lambda node: str(node["metadata"]["name"])):
        count += 1
        why = list(obstacles(pod, node, used.get(node["metadata"]["name"], {})))
        if not why:
            return str(node["metadata"]["name"])
        reasons.update(why)
    if not count:
        return Unschedulable("no nodes available to schedule pods")
    text = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    return Unschedulable(f"0/{count} nodes are available: {text}.")


def obstacles(pod: Object, node: Object, used: Amounts) -> Iterator[str]:
    """What keeps the pod from the node; nothing when it fits."""
    spec = pod["spec"]
    if (node.get("spec") or {}).get("unschedulable"):
        yield "node(s) were unschedulable"
        return
    if not _ready(node):
        yield "node(s) were not ready"
        return
    if not _selected(spec, node):
        yield "node(s) didn't match Pod's node affinity/selector"
        return
    if not all(_tolerated(taint, spec) for taint in (node.get("spec") or {}).get("taints") or []):
        yield "node(s) had untolerated taint(s)"
        return
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        if (affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution"):
            yield f"node(s) whose scheduler, the pocket's, does not know required {kind}"
    offered = (node.get("status") or {}).get("allocatable") or {}
    for resource, amount in sorted(requests(pod).items()):
        if resource not in NOT_ENFORCED and amount + used.get(resource, 0) > _quantity(offered.get(resource, 0)):
            yield "Too many pods" if resource == "pods" else f"Insufficient {resource}"


def usage(pods: Iterable[Object]) -> dict[str, dict[str, Fraction]]:
    """What the pods that are bound and not over hold, by node."""
    result: dict[str, dict[str, Fraction]] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and (pod.get("status") or {}).get("phase") not in OVER:
            total = result.setdefault(node, {})
            for resource, amount in requests(pod).items():
                total[resource] = total.get(resource, Fraction(0)) + amount
    return result


def requests(pod: Object) -> dict[str, Fraction]:
    """What a pod asks for: its containers and sidecars together, or its largest init container if that is more."""
    spec = pod["spec"]
    total = {"pods": Fraction(1)}
    _add(total, [_requested(container) for container in spec["containers"]])
    peak: dict[str, Fraction] = {}
    sidecars: dict[str, Fraction] = {}
    for container in spec.get("initContainers") or []:
        wanted = _requested(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, [wanted])
            wanted = {}
        for resource in wanted.keys() | sidecars.keys():
            held = wanted.get(resource, Fraction(0)) + sidecars.get(resource, Fraction(0))
            peak[resource] = max(peak.get(resource, Fraction(0)), held)
    _add(total, [sidecars])
    return {key: max(total.get(key, Fraction(0)), peak.get(key, Fraction(0))) for key in total.keys() | peak.keys()}


def _requested(container: Object) -> dict[str, Fraction]:
    resources = container.get("resources") or {}
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {resource: _quantity(value) for resource, value in wanted.items()}


def _add(total: dict[str, Fraction], parts: Iterable[Amounts]) -> None:
    for part in parts:
        for resource, amount in part.items():
            total[resource] = total.get(resource, Fraction(0)) + amount


def _quantity(value: object) -> Fraction:
    return parse_quantity(str(value))


def _ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _selected(spec: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms")
    if terms is None:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        (term.get("matchExpressions") or term.get("matchFields"))
        and all(_matches(labels, rule) for rule in term.get("matchExpressions") or [])
        and all(_matches(fields, rule) for rule in term.get("matchFields") or [])
        for term in terms
    )


def _matches(labels: Mapping[str, str], rule: Object) -> bool:
    value, wanted = labels.get(rule["key"]), rule.get("values") or []
    match rule["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            if value is None or not value.lstrip("-").isdecimal():
                return False
            return int(value) > int(wanted[0]) if operator == "Gt" else int(value) < int(wanted[0])
    return False


def _tolerated(taint: Object, spec: Object) -> bool:
    if taint["effect"] not in _BLOCKING:
        return True
    return any(
        toleration.get("effect") in (None, "", taint["effect"])
        and toleration.get("key") in (None, "", taint["key"])
        and (toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""))
        for toleration in spec.get("tolerations") or []
    )
