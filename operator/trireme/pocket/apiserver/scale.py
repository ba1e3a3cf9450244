"""The scale subresource: one number of an object as an autoscaling/v1 Scale."""

from __future__ import annotations

from typing import Any, Final

from trireme.pocket.apiserver import errors
from trireme.pocket.apiserver.kinds import Kind, ScalePaths
from trireme.pocket.apiserver.store import copied
from trireme.pocket.objects import causes
from trireme.pocket.objects.causes import Cause

Object = dict[str, Any]

_MOST: Final = 2**31 - 1


def scale_of(paths: ScalePaths, obj: Object) -> Object:
    """The Scale of an object."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": _at(obj, paths.status) or 0}
    if paths.selector and (selector := _at(obj, paths.selector)):
        status["selector"] = selector
    replicas = _at(obj, paths.spec)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {} if replicas is None else {"replicas": replicas},
        "status": status,
    }


def scaled(kind: Kind, paths: ScalePaths, obj: Object, scale: Object) -> Object:
    """The object with the replicas that the Scale asks for. Raises ApiError (422)."""
    replicas = scale.get("spec", {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        why = [causes.invalid("spec.replicas", replicas, "should be a non-negative integer")]
        raise errors.invalid("autoscaling", "Scale", obj["metadata"]["name"], why)
    changed = copied(obj)
    node = changed
    for key in paths.spec[:-1]:
        node = node.setdefault(key, {})
    node[paths.spec[-1]] = replicas
    version = scale.get("metadata", {}).get("resourceVersion")
    if version:
        changed["metadata"]["resourceVersion"] = version
    return changed


def replica_causes(paths: ScalePaths, obj: Object) -> list[Cause]:
    """What is wrong with the numbers that a custom kind offers for scaling."""
    found = []
    for path in (paths.spec, paths.status):
        value = _at(obj, path)
        field = "." + ".".join(path)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            found.append(causes.invalid(field, value, "must be an integer"))
        elif value < 0:
            found.append(causes.invalid(field, value, "should be a non-negative integer"))
        elif value > _MOST:
            found.append(causes.invalid(field, value, f"should be less than or equal to {_MOST}"))
    return found


def _at(obj: Object, path: tuple[str, ...]) -> Any:
    node: Any = obj
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node
