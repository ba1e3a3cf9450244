"""The shapes of the built-in kinds, read once from `schemas.json` (written by `generate`)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

REF: Final = "#/components/schemas/"
META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
ROOTS: Final = (
    *(
        f"io.k8s.api.core.v1.{kind}"
        for kind in (
            "Pod",
            "Service",
            "ConfigMap",
            "Secret",
            "Namespace",
            "Node",
            "ServiceAccount",
            "Event",
            "Binding",
            "PersistentVolumeClaim",
        )
    ),
    "io.k8s.api.events.v1.Event",
    "io.k8s.api.coordination.v1.Lease",
    *(f"io.k8s.api.rbac.v1.{kind}" for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")),
    "io.k8s.api.policy.v1.PodDisruptionBudget",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.networking.v1.NetworkPolicy",
    "io.k8s.api.scheduling.v1.PriorityClass",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    "io.k8s.api.authentication.v1.SelfSubjectReview",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    f"{META}DeleteOptions",
)


@cache
def all_shapes() -> dict[str, Any]:
    """Every shape by its definition's name, in the form of OpenAPI v3's `components.schemas`."""
    shapes: dict[str, Any] = msgspec.json.decode(files(__package__).joinpath("schemas.json").read_bytes())
    return shapes


def shape(name: str) -> dict[str, Any]:
    found: dict[str, Any] = all_shapes()[name]
    return found


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself, or the one that it refers to."""
    ref = schema.get("$ref")
    return schema if ref is None else shape(ref.removeprefix(REF))


def closure(names: set[str]) -> dict[str, Any]:
    """The named shapes with all that they refer to."""
    found: dict[str, Any] = {}
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = shape(name)
            wanted += references(found[name])
    return dict(sorted(found.items()))


def references(node: Any) -> list[str]:
    """The definitions that a schema refers to, with repetitions."""
    if isinstance(node, list):
        return [name for item in node for name in references(item)]
    if not isinstance(node, dict):
        return []
    here = [node["$ref"].removeprefix(REF)] if isinstance(node.get("$ref"), str) else []
    return here + [name for value in node.values() for name in references(value)]
