"""The table of built-in kinds: what the pocket serves besides what definitions add to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from trireme.pocket.apiserver import definitions
from trireme.pocket.apiserver.builtin.rules import BuiltInRules
from trireme.pocket.apiserver.kinds import Kind
from trireme.pocket.apiserver.validation import cluster, config, events, pods, services
from trireme.pocket.objects import names

Object = dict[str, Any]

CORE: Final = "io.k8s.api.core.v1"
_STATUS: Final = frozenset({"status"})
_EVENT_FIELDS: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def path_segment(value: str) -> str | None:
    """The names of roles: anything that is one segment of a path."""
    if value in (".", ".."):
        return f"may not be '{value}'"
    bad = [mark for mark in "/%" if mark in value]
    return f"may not contain '{bad[0]}'" if bad else None


def _kind(
    group: str,
    kind: str,
    plural: str,
    *short_names: str,
    package: str = "",
    defaults: Callable[[Object], None] | None = None,
    first_status: Callable[[Object], None] | None = None,
    checks: Callable[..., Any] | None = None,
    update_checks: Callable[..., Any] | None = None,
    name_rule: Callable[[str], str | None] | None = None,
    strategic: bool = True,
    **more: Any,
) -> Kind:
    """One row. `package` names the part of the published schemas, by default that of the group's first word."""
    given = {
        "defaults": defaults, "first_status": first_status, "checks": checks,
        "update_checks": update_checks, "name_rule": name_rule,
    }
    package = package or f"io.k8s.api.{group.partition('.')[0] or 'core'}.v1"
    rules = BuiltInRules(
        f"{package}.{kind}", kind, strategic=strategic, **{key: value for key, value in given.items() if value}
    )
    return Kind(
        group=group, version="v1", kind=kind, plural=plural, rules=rules, singular=kind.lower(),
        short_names=short_names, **more,
    )


def built_in_kinds() -> list[Kind]:
    """Every built-in kind. Not among them: what needs a controller that the pocket lacks, such as Deployments."""
    rbac, review = "rbac.authorization.k8s.io", ("create",)
    return [
        _kind("", "ConfigMap", "configmaps", "cm",
              checks=config.validate_config_map, update_checks=config.validate_config_map_update),
        _kind("", "Event", "events", "ev", checks=events.validate_core, selectable=frozenset(
            {f"involvedObject.{field}" for field in _EVENT_FIELDS} | {"reason", "reportingComponent", "source", "type"})),
        _kind("", "Namespace", "namespaces", "ns", namespaced=False, subresources=frozenset({"status", "finalize"}),
              defaults=cluster.default_namespace, first_status=cluster.initialize_namespace,
              name_rule=names.dns_label, selectable=frozenset({"status.phase"}),
              verbs=("create", "delete", "get", "list", "patch", "update", "watch")),
        _kind("", "Node", "nodes", "no", namespaced=False, subresources=_STATUS, defaults=cluster.default_node,
              selectable=frozenset({"spec.unschedulable"})),
        _kind("", "Pod", "pods", "po", categories=("all",), generation=True,
              subresources=frozenset({"status", "log", "binding", "eviction"}),
              defaults=pods.default, first_status=pods.initialize,
              checks=pods.validate, update_checks=pods.validate_update,
              selectable=frozenset({
                  "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
                  "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"})),
        _kind("", "Secret", "secrets", defaults=config.default_secret, checks=config.validate_secret,
              update_checks=config.validate_secret_update, selectable=frozenset({"type"})),
        _kind("", "Service", "services", "svc", categories=("all",), subresources=_STATUS,
              name_rule=names.dns_1035_label, defaults=services.default, first_status=services.initialize,
              checks=services.validate, update_checks=services.validate_update),
        _kind("", "ServiceAccount", "serviceaccounts", "sa"),
        _kind("coordination.k8s.io", "Lease", "leases", checks=cluster.validate_lease, unconditional=False),
        _kind("events.k8s.io", "Event", "events", "ev", checks=events.validate, stored_as="events",
              to_stored=events.to_core, from_stored=events.from_core, selectable=frozenset(
                  {f"regarding.{field}" for field in _EVENT_FIELDS} | {"reason", "reportingController", "type"})),
        _kind("networking.k8s.io", "NetworkPolicy", "networkpolicies", "netpol", generation=True),
        _kind("policy", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", subresources=_STATUS, generation=True),
        _kind(rbac, "ClusterRole", "clusterroles", namespaced=False, name_rule=path_segment,
              checks=cluster.validate_role),
        _kind(rbac, "ClusterRoleBinding", "clusterrolebindings", namespaced=False, name_rule=path_segment,
              defaults=cluster.default_binding, checks=cluster.validate_binding,
              update_checks=cluster.validate_binding_update),
        _kind(rbac, "Role", "roles", name_rule=path_segment, checks=cluster.validate_role),
        _kind(rbac, "RoleBinding", "rolebindings", name_rule=path_segment, defaults=cluster.default_binding,
              checks=cluster.validate_binding, update_checks=cluster.validate_binding_update),
        _kind("scheduling.k8s.io", "PriorityClass", "priorityclasses", "pc", namespaced=False,
              defaults=cluster.default_priority_class, checks=cluster.validate_priority_class,
              update_checks=cluster.validate_priority_class_update),
        _kind("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", "crd", "crds",
              package="io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1", namespaced=False,
              categories=("api-extensions",), subresources=_STATUS, generation=True, unconditional=False,
              defaults=definitions.default, first_status=definitions.initialize,
              checks=definitions.validate, update_checks=definitions.validate_update),
        _kind("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", namespaced=False, verbs=review),
        _kind("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False,
              verbs=review),
        _kind("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews", namespaced=False,
              verbs=review),
    ]
