"""PersistentVolumeClaims: the node has a folder for each, so that one is bound as soon as it is there."""

from __future__ import annotations

from typing import Any, Final

from trireme.pocket.objects import causes
from trireme.pocket.objects.causes import Cause

Object = dict[str, Any]

MODES: Final = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")


def default(claim: Object) -> None:
    claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def bind(claim: Object) -> None:
    spec = claim.get("spec", {})
    requests = (spec.get("resources") or {}).get("requests") or {}
    claim["status"] = {
        "phase": "Bound",
        "accessModes": list(spec.get("accessModes") or ()),
        "capacity": {"storage": requests["storage"]} if "storage" in requests else {},
    }


def validate(claim: Object) -> list[Cause]:
    spec, found = claim["spec"], []
    modes = spec.get("accessModes") or []
    if not modes:
        found.append(causes.required("spec.accessModes", "at least 1 access mode is required"))
    found += [causes.not_supported("spec.accessModes", mode, MODES) for mode in modes if mode not in MODES]
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        found.append(causes.required("spec.resources[storage]"))
    return found


def validate_update(new: Object, old: Object) -> list[Cause]:
    """Only the amount that is asked for may change."""
    if {**new["spec"], "resources": None} == {**old["spec"], "resources": None}:
        return []
    message = (
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
    )
    return [causes.forbidden("spec", message)]
