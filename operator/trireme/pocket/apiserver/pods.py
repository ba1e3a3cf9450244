"""The subresources by which others act on a pod: a scheduler binds it to a node, `kubectl drain` evicts it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from trireme.pocket.apiserver import errors
from trireme.pocket.apiserver.times import to_text
from trireme.pocket.objects import causes

Object = dict[str, Any]


def bound(pod: Object, binding: Object, now: datetime) -> Object:
    """The pod on the node that the Binding names. Raises ApiError: 409 if it has one or is going, 422 without one."""
    name, node = pod["metadata"]["name"], (binding.get("target") or {}).get("name")
    if not node:
        raise errors.invalid("", "Binding", name, [causes.required("target.name")])
    if pod["metadata"].get("deletionTimestamp"):
        raise errors.conflict("", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        why = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        raise errors.conflict("", "pods/binding", name, why)
    status = pod.get("status", {})
    others = [condition for condition in status.get("conditions", ()) if condition["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": to_text(now)}
    return {
        **pod,
        "spec": {**pod["spec"], "nodeName": node},
        "status": {**status, "conditions": [*others, scheduled]},
    }
