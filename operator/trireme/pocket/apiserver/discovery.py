"""What the server says it serves: the legacy lists and the aggregated form that kubectl asks for first."""

from __future__ import annotations

from typing import Any

from trireme.pocket.apiserver.kinds import Kind, Registry

Object = dict[str, Any]

_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "status": ("", "", "", ("get", "patch", "update")),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "log": ("", "", "", ("get",)),
    "binding": ("", "v1", "Binding", ("create",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "finalize": ("", "", "", ("update",)),
}
"""Group, version, kind (empty: the parent's) and verbs of each subresource."""


def versions() -> Object:
    """GET /api"""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list(registry: Registry) -> Object:
    """GET /apis"""
    groups = [_group(registry, group) for group in registry.groups() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Object | None:
    """GET /apis/GROUP; None: there is no such group."""
    if not name or not registry.versions(name):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, name)}


def resource_list(registry: Registry, group: str, version: str) -> Object | None:
    """GET /api/v1 and /apis/GROUP/VERSION; None: there is no such version."""
    kinds = registry.of(group, version)
    if not kinds:
        return None
    resources = [entry for kind in kinds for entry in _resources(kind)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def aggregated(registry: Registry, *, core: bool) -> Object:
    """GET /api or /apis with `as=APIGroupDiscoveryList`."""
    groups = [group for group in registry.groups() if (not group) is core]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
                "versions": [
                    {
                        "version": version,
                        "resources": [_aggregated_resource(kind) for kind in registry.of(group, version)],
                        "freshness": "Current",
                    }
                    for version in registry.versions(group)
                ],
            }
            for group in groups
        ],
    }


def _group(registry: Registry, name: str) -> Object:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in registry.versions(name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resources(kind: Kind) -> list[Object]:
    own = {
        "name": kind.plural,
        "singularName": kind.singular or kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        own["shortNames"] = list(kind.short_names)
    if kind.categories:
        own["categories"] = list(kind.categories)
    entries = [own]
    for name in sorted(kind.subresources):
        group, version, parent, verbs = _SUBRESOURCES[name]
        entry: Object = {
            "name": f"{kind.plural}/{name}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": parent or kind.kind,
            "verbs": list(verbs),
        }
        entries.append({**entry, "group": group, "version": version} if version else entry)
    return entries


def _aggregated_resource(kind: Kind) -> Object:
    entry: Object = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular or kind.kind.lower(),
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = [_aggregated_subresource(kind, name) for name in sorted(kind.subresources)]
    return entry


def _aggregated_subresource(kind: Kind, name: str) -> Object:
    group, version, own, verbs = _SUBRESOURCES[name]
    response = (group, version, own) if own else (kind.group, kind.version, kind.kind)
    return {
        "subresource": name,
        "responseKind": dict(zip(("group", "version", "kind"), response, strict=True)),
        "verbs": list(verbs),
    }
