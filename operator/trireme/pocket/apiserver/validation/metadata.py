"""The rules of `metadata`, which are the same for every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trireme.pocket.apiserver.validation import checks
from trireme.pocket.objects import causes, names
from trireme.pocket.objects.causes import Cause

ANNOTATIONS_LIMIT = 256 * 1024


def validate(new: dict[str, Any], old: dict[str, Any] | None, name_rule: Callable[[str], str | None]) -> list[Cause]:
    """All that is wrong with `new` metadata, which replace `old` (None: creation)."""
    found = checks.checked("metadata.name", new.get("name"), name_rule) if old is None else []
    found += _labels(new.get("labels", {}))
    found += _annotations(new.get("annotations", {}))
    found += [
        causes.invalid(f"metadata.finalizers[{index}]", finalizer, problem)
        for index, finalizer in enumerate(new.get("finalizers", ()))
        if (problem := names.label_key(finalizer))
    ]
    found += _owners(new.get("ownerReferences", ()))
    if old is not None and old.get("deletionTimestamp"):
        added = sorted(set(new.get("finalizers", ())) - set(old.get("finalizers", ())))
        if added:
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers {added}"
            found.append(causes.forbidden("metadata.finalizers", why))
    return found


def _labels(labels: dict[str, str]) -> list[Cause]:
    found = []
    for key, value in labels.items():
        if problem := names.label_key(key):
            found.append(causes.invalid("metadata.labels", key, problem))
        if problem := names.label_value(value):
            found.append(causes.invalid("metadata.labels", value, problem))
    return found


def _annotations(annotations: dict[str, str]) -> list[Cause]:
    found = [
        causes.invalid("metadata.annotations", key, problem)
        for key in annotations
        if (problem := names.label_key(key.lower()))
    ]
    if sum(len(key) + len(value) for key, value in annotations.items()) > ANNOTATIONS_LIMIT:
        found.append(causes.too_long("metadata.annotations", ANNOTATIONS_LIMIT))
    return found


def _owners(owners: list[dict[str, Any]]) -> list[Cause]:
    found = []
    for index, owner in enumerate(owners):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                found.append(causes.invalid(f"metadata.ownerReferences[{index}].{key}", "", "must not be empty"))
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        why = "Only one reference can have Controller set to true"
        found.append(causes.invalid("metadata.ownerReferences", owners, why))
    return found
