"""Namespaces, nodes, leases, priority classes, roles: the small rules of kinds that mostly keep what they get."""

from __future__ import annotations

from typing import Any

from trireme.pocket.apiserver.validation import checks
from trireme.pocket.objects import causes
from trireme.pocket.objects.causes import Cause

Object = dict[str, Any]


def default_namespace(namespace: Object) -> None:
    metadata = namespace["metadata"]
    metadata["labels"] = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata.get("name", "")}
    namespace.setdefault("spec", {})


def initialize_namespace(namespace: Object) -> None:
    namespace["spec"]["finalizers"] = ["kubernetes"]
    namespace["status"] = {"phase": "Active"}


def default_node(node: Object) -> None:
    node.setdefault("spec", {})


def validate_lease(lease: Object) -> list[Cause]:
    spec = lease.get("spec", {})
    found = []
    for field, least in (("leaseDurationSeconds", 1), ("leaseTransitions", 0)):
        value = spec.get(field)
        if value is not None and value < least:
            bound = "greater than 0" if least else "greater than or equal to 0"
            found.append(causes.invalid(f"spec.{field}", value, f"must be {bound}"))
    if spec.get("holderIdentity") == "":
        found.append(causes.invalid("spec.holderIdentity", "", "must not be empty"))
    return found


def default_priority_class(priority_class: Object) -> None:
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")
    priority_class.setdefault("value", 0)


def validate_priority_class(priority_class: Object) -> list[Cause]:
    value = priority_class["value"]
    if value > 1_000_000_000 and not priority_class["metadata"]["name"].startswith("system-"):
        return [causes.forbidden("value", "maximum allowed value of a user defined priority is 1000000000")]
    return []


def validate_priority_class_update(new: Object, old: Object) -> list[Cause]:
    return [
        causes.invalid(field, new.get(field), "field is immutable")
        for field in ("value", "preemptionPolicy")
        if new.get(field) != old.get(field)
    ]


def default_binding(binding: Object) -> None:
    """Role bindings: a group and a kind for what is named only."""
    for subject in binding.get("subjects", ()):
        subject.setdefault("apiGroup", "" if subject.get("kind") == "ServiceAccount" else "rbac.authorization.k8s.io")
        if not subject["apiGroup"]:
            del subject["apiGroup"]
    binding.get("roleRef", {}).setdefault("apiGroup", "rbac.authorization.k8s.io")


def validate_binding(binding: Object) -> list[Cause]:
    reference = binding.get("roleRef", {})
    found = checks.one_of("roleRef.kind", reference.get("kind", ""), ("ClusterRole", "Role"))
    return found if reference.get("name") else [*found, causes.required("roleRef.name")]


def validate_binding_update(new: Object, old: Object) -> list[Cause]:
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [causes.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]


def validate_role(role: Object) -> list[Cause]:
    return [
        causes.required(f"rules[{index}].verbs", "verbs must contain at least one value")
        for index, rule in enumerate(role.get("rules") or ())
        if not rule.get("verbs")
    ]
