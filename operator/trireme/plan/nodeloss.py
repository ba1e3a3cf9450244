"""How long a pod stays bound to a node that is not ready (docs/adr/0016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]

TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""Put on such a node by Kubernetes. Where pods are silent an admission plugin lets them tolerate it for 300 s."""
NO_EXECUTE = "NoExecute"


def bounded(spec: Mapping[str, Any], seconds: int) -> list[Manifest]:
    """The pod's tolerations, and ours for each of the taints of which the template says nothing."""
    said = list(spec.get("tolerations") or ())
    ours = [
        {"key": taint, "operator": "Exists", "effect": NO_EXECUTE, "tolerationSeconds": seconds}
        for taint in TAINTS
        if not any(_tolerates(each, taint) for each in said)
    ]
    return [*said, *ours]


def _tolerates(toleration: Mapping[str, Any], taint: str) -> bool:
    """An empty key or effect means every one (core/v1 Toleration)."""
    return toleration.get("key") in (None, "", taint) and toleration.get("effect") in (None, "", NO_EXECUTE)
