"""Which kinds of objects the operator speaks of, and where the API serves them. No discovery: the list is short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from trireme.contract import names


@dataclass(frozen=True)
class Resource:
    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of the collection, of one object, or of its subresource. Without a namespace: of all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
POD_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
WORKLOADS = Resource("scheduling.k8s.io", "v1alpha1", "workloads", "Workload")
POD_GROUPS = tuple(
    Resource(group, version, "podgroups", "PodGroup")
    for group, version in (
        ("scheduling.k8s.io", "v1alpha2"), ("scheduling.k8s.io", "v1beta1"),
        ("scheduling.volcano.sh", "v1beta1"), ("scheduling.x-k8s.io", "v1alpha1"),
    )
)  # fmt: skip
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
TRAINING_JOBS = Resource(names.GROUP, names.VERSION, names.PLURAL, names.KIND)

_BY_KIND = {
    (resource.api_version, resource.kind): resource
    for resource in (
        PODS, SERVICES, SERVICE_ACCOUNTS, SECRETS, CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, NODES, NAMESPACES, EVENTS,
        NETWORK_POLICIES, POD_DISRUPTION_BUDGETS, LEASES, CUSTOM_RESOURCE_DEFINITIONS, TRAINING_JOBS, WORKLOADS,
        *POD_GROUPS,
    )
}  # fmt: skip


def of_object(obj: Mapping[str, Any]) -> Resource:
    """The resource that an object belongs to. Raises ValueError for a kind that is not in the list."""
    key = (obj.get("apiVersion"), obj.get("kind"))
    try:
        return _BY_KIND[key]  # type: ignore[index]
    except (KeyError, TypeError):
        known = ", ".join(sorted(kind for _, kind in _BY_KIND))
        raise ValueError(f"kind {key[1]} of {key[0]} is not known here; known are {known}") from None
