"""The table of built-in kinds: what the pocket serves besides what definitions add to it.

Not among them: what needs a controller that the pocket lacks, such as Deployments. It would be accepted and ignored.
"""

from __future__ import annotations

from typing import Final

from trireme.pocket.apiserver import definitions
from trireme.pocket.apiserver.builtin.rules import BuiltInRules
from trireme.pocket.apiserver.kinds import Kind
from trireme.pocket.apiserver.validation import claims, cluster, config, events, pods, services
from trireme.pocket.objects import names

_CORE: Final = "io.k8s.api.core.v1"
_RBAC: Final = "rbac.authorization.k8s.io"
_STATUS: Final = frozenset({"status"})
_CREATE_ONLY: Final = ("create",)
_ABOUT: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def _path_segment(value: str) -> str | None:
    """The names of roles: anything that is one segment of a path."""
    if value in (".", ".."):
        return f"may not be '{value}'"
    bad = [mark for mark in "/%" if mark in value]
    return f"may not contain '{bad[0]}'" if bad else None


_CORE_KINDS: Final = (
    Kind(
        "", "v1", "ConfigMap", "configmaps",
        BuiltInRules(
            f"{_CORE}.ConfigMap", checks=config.validate_config_map, update_checks=config.validate_config_map_update
        ),
        short_names=("cm",),
    ),
    Kind(
        "", "v1", "Event", "events",
        BuiltInRules(f"{_CORE}.Event", checks=events.validate_core),
        short_names=("ev",),
        selectable=frozenset(
            {f"involvedObject.{field}" for field in _ABOUT} | {"reason", "reportingComponent", "source", "type"}
        ),
    ),
    Kind(
        "", "v1", "Namespace", "namespaces",
        BuiltInRules(
            f"{_CORE}.Namespace",
            name_rule=names.dns_label,
            defaults=cluster.default_namespace,
            first_status=cluster.initialize_namespace,
        ),
        namespaced=False,
        short_names=("ns",),
        subresources=frozenset({"status", "finalize"}),
        verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
        selectable=frozenset({"status.phase"}),
    ),
    Kind(
        "", "v1", "Node", "nodes",
        BuiltInRules(f"{_CORE}.Node", defaults=cluster.default_node),
        namespaced=False,
        short_names=("no",),
        subresources=_STATUS,
        selectable=frozenset({"spec.unschedulable"}),
    ),
    Kind(
        "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims",
        BuiltInRules(
            f"{_CORE}.PersistentVolumeClaim",
            defaults=claims.default,
            first_status=claims.bind,
            checks=claims.validate,
            update_checks=claims.validate_update,
        ),
        short_names=("pvc",),
        subresources=_STATUS,
    ),
    Kind(
        "", "v1", "Pod", "pods",
        BuiltInRules(
            f"{_CORE}.Pod",
            defaults=pods.default,
            first_status=pods.initialize,
            checks=pods.validate,
            update_checks=pods.validate_update,
        ),
        short_names=("po",),
        categories=("all",),
        subresources=frozenset({"status", "log", "binding", "eviction"}),
        generation=True,
        selectable=frozenset({
            "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
            "status.phase", "status.podIP", "status.nominatedNodeName",
        }),
    ),
    Kind(
        "", "v1", "Secret", "secrets",
        BuiltInRules(
            f"{_CORE}.Secret",
            defaults=config.default_secret,
            checks=config.validate_secret,
            update_checks=config.validate_secret_update,
        ),
        selectable=frozenset({"type"}),
    ),
    Kind(
        "", "v1", "Service", "services",
        BuiltInRules(
            f"{_CORE}.Service",
            name_rule=names.dns_1035_label,
            defaults=services.default,
            first_status=services.initialize,
            checks=services.validate,
            update_checks=services.validate_update,
        ),
        short_names=("svc",),
        categories=("all",),
        subresources=_STATUS,
    ),
    Kind("", "v1", "ServiceAccount", "serviceaccounts", BuiltInRules(f"{_CORE}.ServiceAccount"), short_names=("sa",)),
)  # fmt: skip

_POLICY_KINDS: Final = (
    Kind(
        "networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies",
        BuiltInRules("io.k8s.api.networking.v1.NetworkPolicy"),
        short_names=("netpol",),
        generation=True,
    ),
    Kind(
        "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets",
        BuiltInRules("io.k8s.api.policy.v1.PodDisruptionBudget"),
        short_names=("pdb",),
        subresources=_STATUS,
        generation=True,
    ),
    Kind(
        "scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses",
        BuiltInRules(
            "io.k8s.api.scheduling.v1.PriorityClass",
            defaults=cluster.default_priority_class,
            checks=cluster.validate_priority_class,
            update_checks=cluster.validate_priority_class_update,
        ),
        namespaced=False,
        short_names=("pc",),
    ),
)  # fmt: skip


def _roles(kind: str, plural: str, *, namespaced: bool) -> Kind:
    rules = BuiltInRules(f"io.k8s.api.rbac.v1.{kind}", name_rule=_path_segment, checks=cluster.validate_role)
    return Kind(_RBAC, "v1", kind, plural, rules, namespaced=namespaced)


def _role_bindings(kind: str, plural: str, *, namespaced: bool) -> Kind:
    rules = BuiltInRules(
        f"io.k8s.api.rbac.v1.{kind}",
        name_rule=_path_segment,
        defaults=cluster.default_binding,
        checks=cluster.validate_binding,
        update_checks=cluster.validate_binding_update,
    )
    return Kind(_RBAC, "v1", kind, plural, rules, namespaced=namespaced)


def _review(group: str, kind: str) -> Kind:
    rules = BuiltInRules(f"io.k8s.api.{group}.v1.{kind}")
    return Kind(f"{group}.k8s.io", "v1", kind, f"{kind.lower()}s", rules, namespaced=False, verbs=_CREATE_ONLY)


BUILT_IN: Final = (
    *_CORE_KINDS,
    Kind(
        "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions",
        BuiltInRules(
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
            defaults=definitions.default,
            first_status=definitions.initialize,
            checks=definitions.validate,
            update_checks=definitions.validate_update,
        ),
        namespaced=False,
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        subresources=_STATUS,
        generation=True,
        unconditional=False,
    ),
    _review("authentication", "SelfSubjectReview"),
    _review("authorization", "SelfSubjectAccessReview"),
    _review("authorization", "SelfSubjectRulesReview"),
    Kind(
        "coordination.k8s.io", "v1", "Lease", "leases",
        BuiltInRules("io.k8s.api.coordination.v1.Lease", checks=cluster.validate_lease),
        unconditional=False,
    ),
    Kind(
        "events.k8s.io", "v1", "Event", "events",
        BuiltInRules("io.k8s.api.events.v1.Event", checks=events.validate),
        short_names=("ev",),
        selectable=frozenset({f"regarding.{field}" for field in _ABOUT} | {"reason", "reportingController", "type"}),
        stored_as="events",
        to_stored=events.to_core,
        from_stored=events.from_core,
    ),
    *_POLICY_KINDS,
    _roles("ClusterRole", "clusterroles", namespaced=False),
    _roles("Role", "roles", namespaced=True),
    _role_bindings("ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    _role_bindings("RoleBinding", "rolebindings", namespaced=True),
)  # fmt: skip
"""Every built-in kind, in the order in which discovery lists their groups."""
