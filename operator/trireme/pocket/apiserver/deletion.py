"""Deletion: preconditions, grace periods, finalizers, and the marks that tell the garbage collector what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from trireme.pocket.apiserver import errors
from trireme.pocket.apiserver.kinds import Clock, Kind
from trireme.pocket.apiserver.operations import released
from trireme.pocket.apiserver.options import DeleteOptions
from trireme.pocket.apiserver.store import Record, Store
from trireme.pocket.apiserver.times import to_text
from trireme.pocket.objects import causes

Object = dict[str, Any]

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
_BY_PROPAGATION: Final = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
_DEFAULT_GRACE: Final = 30


def delete(store: Store, clock: Clock, kind: Kind, record: Record, options: DeleteOptions) -> tuple[Record, bool]:
    """Deletes the object, or marks it as being deleted. Returns what is left and whether it is gone.

    Raises ApiError: 409 for a failed precondition, 422 for a negative grace period.
    """
    _check_preconditions(kind, record, options)
    marked = _marked(kind, record.value, options, clock)
    if not released(kind, marked):
        if options.dry_run or marked == record.value:
            return record, False
        return store.put(kind.resource, record.key, marked), False
    return (record if options.dry_run else store.remove(kind.resource, record.key)), True


def _marked(kind: Kind, obj: Object, options: DeleteOptions, clock: Clock) -> Object:
    """The object with the marks of a deletion."""
    metadata = obj["metadata"]
    finalizers = [name for name in metadata.get("finalizers", ()) if name not in _BY_PROPAGATION.values()]
    if extra := _BY_PROPAGATION.get(options.propagation):
        finalizers.append(extra)
    grace = _grace(kind, obj, options)
    began = metadata.get("deletionTimestamp")
    kept = {key: value for key, value in metadata.items() if key != "finalizers"}
    if finalizers:
        kept["finalizers"] = finalizers
    if began is None:
        kept |= {"deletionTimestamp": to_text(clock() + timedelta(seconds=grace)), "deletionGracePeriodSeconds": grace}
        if "generation" in metadata:
            kept["generation"] = metadata["generation"] + 1
    elif grace < metadata.get("deletionGracePeriodSeconds", 0):
        kept |= {"deletionTimestamp": to_text(clock() + timedelta(seconds=grace)), "deletionGracePeriodSeconds": grace}
    marked = {**obj, "metadata": kept}
    if kind.resource == "namespaces":
        marked["status"] = {**obj.get("status", {}), "phase": "Terminating"}
    return marked


def _grace(kind: Kind, obj: Object, options: DeleteOptions) -> int:
    """Seconds that an object gets; only a pod that a kubelet may be running gets any."""
    if options.grace is not None and options.grace < 0:
        why = [causes.invalid("gracePeriodSeconds", options.grace, "must be greater than or equal to 0")]
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", why)
    if kind.resource != "pods":
        return 0
    spec = obj["spec"]
    if not spec.get("nodeName") or obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    return int(spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE) if options.grace is None else options.grace)


def _check_preconditions(kind: Kind, record: Record, options: DeleteOptions) -> None:
    name = record.value["metadata"]["name"]
    for label, wanted, found in (
        ("UID", options.uid, record.uid),
        ("ResourceVersion", options.version, str(record.version)),
    ):
        if wanted is not None and wanted != found:
            why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {found}"
            raise errors.conflict(kind.group, kind.kind, name, why)


def for_member(options: DeleteOptions) -> DeleteOptions:
    """The same deletion without its preconditions: for the members of a collection."""
    return replace(options, uid=None, version=None)
