"""What the Pod Security profile `restricted` asks of a container, wherever the user's template is silent.

Said of each container, never of the pod: a container that somebody else adds later (a mesh's proxy, `kubectl debug`)
keeps its own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]

RESTRICTED: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Kubernetes documentation, Pod Security Standards."""
ROOT = 0


def confined(container: Manifest, spec: Mapping[str, Any]) -> Manifest:
    """The container with the defaults that neither it nor its pod's securityContext contradicts.

    One that asks to be privileged, or for CAP_SYS_ADMIN, stays as it is: the API server refuses it half confined.
    """
    own = _said(container)
    said = {**_said(spec), **own}
    if said.get("privileged") or "CAP_SYS_ADMIN" in ((said.get("capabilities") or {}).get("add") or ()):
        return container
    if said.get("runAsUser") == ROOT:
        said.setdefault("runAsNonRoot", False)
    defaults = {key: value for key, value in RESTRICTED.items() if key not in said}
    return {**container, "securityContext": {**defaults, **own}} if defaults else container


def _said(holder: Mapping[str, Any]) -> Manifest:
    """Null is absent."""
    return {key: value for key, value in (holder.get("securityContext") or {}).items() if value is not None}
