"""What a cluster's default admission asks of a new object beyond its own kind's rules: the world that it refers to."""

from __future__ import annotations

from typing import Any

from trireme.pocket.apiserver import errors
from trireme.pocket.apiserver.kinds import Kind
from trireme.pocket.apiserver.store import Store
from trireme.pocket.objects.causes import Cause

Object = dict[str, Any]

_SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def check_namespace(store: Store, kind: Kind, namespace: str, name: str) -> None:
    """Refuses to create in a namespace that is not there (404) or is going away (403)."""
    found = store.get("namespaces", namespace)
    if found is None:
        raise errors.not_found("", "namespaces", namespace)
    if found.value["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        cause = Cause("NamespaceTerminating", "metadata.namespace", f"namespace {namespace} is being terminated")
        raise errors.forbidden(kind.group, kind.plural, name, why, [cause])


def admit(store: Store, kind: Kind, obj: Object) -> None:
    """Completes an object from others, in place. Raises ApiError (403) where those are missing."""
    if kind.resource == "pods" and "spec" in obj:
        _admit_pod(store, kind, obj)


def _admit_pod(store: Store, kind: Kind, pod: Object) -> None:
    metadata, spec = pod["metadata"], pod["spec"]
    account = spec.get("serviceAccountName") or "default"
    namespace = metadata["namespace"]
    if store.get("serviceaccounts", f"{namespace}/{account}") is None:
        why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        raise errors.forbidden(kind.group, kind.plural, metadata["name"], why)
    chosen = spec.get("priorityClassName")
    if not chosen:
        return
    found = store.get("priorityclasses.scheduling.k8s.io", chosen)
    if found is None and chosen not in _SYSTEM_PRIORITIES:
        why = f"no PriorityClass with name {chosen} was found"
        raise errors.forbidden(kind.group, kind.plural, metadata["name"], why)
    spec["priority"] = _SYSTEM_PRIORITIES[chosen] if found is None else found.value["value"]
    spec["preemptionPolicy"] = "PreemptLowerPriority" if found is None else found.value["preemptionPolicy"]
