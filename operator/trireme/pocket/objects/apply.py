"""Server-side apply and the bookkeeping in `metadata.managedFields` that it rests on.

Every write is recorded under its manager: an apply owns exactly what it named last, any other write what it changed.
An apply that would change a field of another manager is a conflict unless it is forced; a field that an applier no
longer names goes, when nobody else owns it. The semantics follow sigs.k8s.io/structured-merge-diff.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

from trireme.pocket.objects.causes import Cause
from trireme.pocket.objects.fieldset import (
    FieldSet,
    Path,
    decode,
    difference,
    encode,
    merge,
    owned,
    prefixes,
    remove,
    repeated,
    shown,
)
from trireme.pocket.objects.merge_keys import MergeKeys
from trireme.pocket.objects.patch import PatchError

_UNOWNED_METADATA: Final = frozenset({
    "name", "namespace", "uid", "resourceVersion", "generation", "selfLink", "managedFields", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds",
})  # fmt: skip


class ApplyConflict(Exception):
    """Other managers own fields that an apply would change; the causes name them."""

    def __init__(self, causes: Sequence[Cause]) -> None:
        self.causes = causes
        if len(causes) == 1:
            told = f"1 conflict: {causes[0].message}: {causes[0].field}"
        else:
            groups = groupby(causes, key=lambda cause: cause.message.replace("conflict with", "conflicts with", 1))
            parts = ["\n".join([f"{message}:", *(f"- {cause.field}" for cause in group)]) for message, group in groups]
            told = f"{len(causes)} conflicts: " + "\n".join(parts)
        super().__init__(f"Apply failed with {told}")


class _Writer(NamedTuple):
    """Who wrote, and how: the identity of an entry of managedFields."""

    manager: str
    operation: str
    api_version: str
    subresource: str


@dataclass(frozen=True, slots=True)
class _Entry:
    paths: FieldSet
    time: str


_Ledger = dict[_Writer, _Entry]


def apply(
    live: Mapping[str, Any] | None,
    applied: Mapping[str, Any],
    manager: str,
    force: bool,
    merge_keys: MergeKeys,
    now: datetime,
    api_version: str,
    subresource: str = "",
) -> dict[str, Any]:
    """The object after a manager applied its wishes, managedFields included.

    Raises ApplyConflict where others own what would change, and PatchError where `applied` names an item twice.
    """
    if twice := repeated(applied, merge_keys):
        told = "\n".join(f"  {shown(path[:-1])}: duplicate entries for key {shown(path[-1:])}" for path in twice)
        raise PatchError(f"failed to create typed patch object: errors:\n{told}", malformed=True)
    writer = _Writer(manager, "Apply", api_version, subresource)
    ledger = _read(live)
    before = ledger.pop(writer, _Entry(frozenset(), ""))
    wanted = owned(_ownable(applied), merge_keys)
    result = copy.deepcopy(dict(applied) if live is None else merge(live, applied, merge_keys))
    held = prefixes(wanted.union(*(entry.paths for entry in ledger.values())))
    for path in _shallowest(prefixes(before.paths) - held):
        remove(result, path, merge_keys)
    change = difference(_ownable(live or {}), _ownable(result), merge_keys)
    if not force and (conflicts := _conflicts(ledger, change.written)):
        raise ApplyConflict(conflicts)
    ledger = _without(ledger, change.written | change.removed)
    if wanted:
        changed = wanted != before.paths or change.written or change.removed
        ledger[writer] = _Entry(wanted, _stamp(now) if changed else before.time)
    result["metadata"] = {**result.get("metadata", {}), "managedFields": _told(ledger)}
    return result


def record_update(
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    manager: str,
    api_version: str,
    now: datetime,
    subresource: str,
    merge_keys: MergeKeys,
) -> list[dict[str, Any]]:
    """The managedFields after a manager turned `old` (None: nothing) into `new` by any other means than an apply.

    A client may rewrite managedFields itself; an entry without a manager (`[{}]`) clears them.
    """
    source = new if new.get("metadata", {}).get("managedFields") else old
    change = difference(_ownable(old or {}), _ownable(new), merge_keys)
    if source is not None and not change.written and not change.removed:
        return [entry for entry in source["metadata"].get("managedFields", []) if entry.get("manager")]
    writer = _Writer(manager, "Update", api_version, subresource)
    ledger = _read(source)
    mine = ledger.pop(writer, _Entry(frozenset(), ""))
    ledger = _without(ledger, change.written | change.removed)
    if paths := (mine.paths - change.removed) | change.written:
        ledger[writer] = _Entry(paths, _stamp(now))
    return _told(ledger)


def _ownable(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what no manager can own."""
    metadata = {name: value for name, value in obj.get("metadata", {}).items() if name not in _UNOWNED_METADATA}
    rest = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind", "metadata")}
    return {"metadata": metadata, **rest} if metadata else rest


def _shallowest(paths: FieldSet) -> list[Path]:
    return sorted(path for path in paths if path[:-1] not in paths)


def _conflicts(ledger: _Ledger, written: FieldSet) -> list[Cause]:
    return [
        Cause("FieldManagerConflict", shown(path), f"conflict with {_named(writer, entry)}")
        for writer, entry in sorted(ledger.items())
        for path in sorted(entry.paths & written)
    ]


def _named(writer: _Writer, entry: _Entry) -> str:
    told = f'"{writer.manager}"'
    if writer.subresource:
        told += f' with subresource "{writer.subresource}"'
    if writer.operation == "Update":
        told += f" using {writer.api_version}" + (f" at {entry.time}" if entry.time else "")
    return told


def _without(ledger: _Ledger, lost: FieldSet) -> _Ledger:
    left = {writer: _Entry(entry.paths - lost, entry.time) for writer, entry in ledger.items()}
    return {writer: entry for writer, entry in left.items() if entry.paths}


def _read(obj: Mapping[str, Any] | None) -> _Ledger:
    entries: Iterable[Mapping[str, Any]] = (obj or {}).get("metadata", {}).get("managedFields", ())
    return {
        _Writer(entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", "")): _Entry(
            decode(entry.get("fieldsV1", {})), entry.get("time", "")
        )
        for entry in entries
        if _is_told(entry)
    }


def _is_told(entry: Mapping[str, Any]) -> bool:
    """Whether an entry can be read: clients may write what they like into managedFields."""
    named = all(isinstance(entry.get(key), str) for key in ("manager", "operation", "apiVersion"))
    return named and isinstance(entry.get("fieldsV1", {}), Mapping)


def _told(ledger: _Ledger) -> list[dict[str, Any]]:
    ordered = sorted(ledger.items(), key=lambda item: (item[0].operation, item[1].time, item[0]))
    return [
        {
            "manager": writer.manager,
            "operation": writer.operation,
            "apiVersion": writer.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": encode(entry.paths),
            **({"subresource": writer.subresource} if writer.subresource else {}),
        }
        for writer, entry in ordered
    ]


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
