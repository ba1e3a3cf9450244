"""Who set which field: the server's use of managed fields and of server-side apply."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from trireme.pocket.apiserver import errors
from trireme.pocket.apiserver.kinds import Kind
from trireme.pocket.apiserver.options import WriteOptions
from trireme.pocket.objects.apply import ApplyConflict, apply, record_update

Object = dict[str, Any]


def after_update(
    kind: Kind, old: Object | None, new: Object, manager: str, now: datetime, subresource: str
) -> list[Object]:
    """The managed fields after `manager` turned `old` (None: nothing) into `new` by other means than an apply."""
    if old is not None:
        same = [field for field in new if field != "metadata" and field in old and old[field] == new[field]]
        old, new = _without(old, same), _without(new, same)
    return record_update(old, new, manager, kind.api_version, now, subresource, kind.rules.merge_keys)


def applied(
    kind: Kind, live: Object | None, patch: Object, options: WriteOptions, now: datetime, subresource: str
) -> Object:
    """The object after `options.manager` applied `patch`. Raises ApiError (409) where others own what it changes."""
    try:
        keys = kind.rules.merge_keys
        return apply(live, patch, options.manager, options.force, keys, now, kind.api_version, subresource)
    except ApplyConflict as conflict:
        raise errors.apply_conflict(str(conflict), conflict.causes) from conflict


def unchanged(old: Object, new: Object) -> bool:
    """Whether a write would only move the times at which managers are said to have written."""
    return _timeless(old) == _timeless(new)


def _without(obj: Object, fields: list[str]) -> Object:
    """The object without fields that a write left as they are, which need no comparing."""
    return {field: value for field, value in obj.items() if field not in fields}


def _timeless(obj: Object) -> Object:
    metadata = obj["metadata"]
    managed = [{**entry, "time": None} for entry in metadata.get("managedFields", ())]
    return {**obj, "metadata": {**metadata, "managedFields": managed}}
