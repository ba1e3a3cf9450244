"""The patch formats of the Kubernetes API, as functions from (target, patch) to a new value.

Merge patch is RFC 7386, JSON patch RFC 6902 (by the `jsonpatch` library), strategic merge patch is Kubernetes' own:
lists of objects merge by a key that the kind's type declares. Apply patches live in `apply`.
No function here edits its arguments; results may share unchanged parts with the target.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException

from trireme.pocket.objects.merge_keys import Merge, MergeKeys

_DIRECTIVE = "$patch"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"


class PatchError(ValueError):
    """A patch that cannot be carried out; `malformed` tells a patch that is none from one that does not fit."""

    def __init__(self, message: str, *, malformed: bool = False) -> None:
        super().__init__(message)
        self.malformed = malformed


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902. Raises PatchError: malformed when the operations are none, plain when a path or test fails."""
    if not isinstance(operations, list):
        raise PatchError("json: cannot unmarshal into a list of JSON patch operations", malformed=True)
    try:
        return jsonpatch.JsonPatch(operations).apply(target)
    except (jsonpatch.InvalidJsonPatch, TypeError) as error:
        raise PatchError(str(error), malformed=True) from error
    except (jsonpatch.JsonPatchException, JsonPointerException) as error:
        raise PatchError(f"the server rejected our request due to an error in our request: {error}") from error


def strategic_merge(target: Any, patch: Any, merge_keys: MergeKeys) -> Any:
    """Kubernetes' strategic merge patch with the `$patch`, `$setElementOrder`, `$retainKeys` and
    `$deleteFromPrimitiveList` directives. Raises PatchError for a directive or list element it cannot carry out."""
    if not isinstance(patch, Mapping):
        raise PatchError("a strategic merge patch must be an object", malformed=True)
    return _merge_objects(target, patch, merge_keys)


def _merge_objects(target: Any, patch: Mapping[str, Any], keys: MergeKeys) -> Any:
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return _without_directives({key: value for key, value in patch.items() if key != _DIRECTIVE})
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f"Unknown patch type found: {directive}", malformed=True)
    for key, value in patch.items():
        if key.startswith((_RETAIN, _ORDER, _DELETE)) and not isinstance(value, list):
            raise PatchError(f"{key} must be a list", malformed=True)
    retained = patch.get(_RETAIN)
    current = target if isinstance(target, Mapping) else {}
    merged = {key: value for key, value in current.items() if retained is None or key in retained}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value, keys.child(key), patch.get(_ORDER + key))
    for key, doomed in patch.items():
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            merged[name] = [item for item in merged.get(name) or [] if item not in doomed]
    for key, order in patch.items():
        name = key.removeprefix(_ORDER)
        if key.startswith(_ORDER) and name not in patch and isinstance(merged.get(name), list):
            merged[name] = _ordered(merged[name], order, keys.child(name).strategic)
    return merged


def _merge(target: Any, patch: Any, keys: MergeKeys, order: Sequence[Any] | None) -> Any:
    if isinstance(patch, Mapping):
        return _merge_objects(target, patch, keys)
    if not isinstance(patch, list):
        return patch
    current = target if isinstance(target, list) else []
    if keys.strategic is not None:
        merged = _merge_lists(current, patch, keys.items, keys.strategic)
    elif keys.merge is Merge.SET:
        merged = [*current, *(item for item in patch if item not in current)]
    else:
        return _without_directives(patch)
    return merged if order is None else _ordered(merged, order, keys.strategic)


def _merge_lists(target: list[Any], patch: list[Any], keys: MergeKeys, by: str) -> list[Any]:
    if any(_key(item, _DIRECTIVE) == "replace" for item in patch):
        return [_without_directives(item) for item in patch if _key(item, _DIRECTIVE) != "replace"]
    merged = list(target)
    for item in patch:
        if _key(item, by) is None:
            raise PatchError(f"map: {item} does not contain declared merge key: {by}", malformed=True)
        at = next((at for at, old in enumerate(merged) if _key(old, by) == item[by]), None)
        if item.get(_DIRECTIVE) == "delete":
            merged = [old for old in merged if _key(old, by) != item[by]]
        elif at is None:
            merged.append(_merge_objects({}, item, keys))
        else:
            merged[at] = _merge_objects(merged[at], item, keys)
    return merged


def _ordered(items: list[Any], order: Sequence[Any], by: str | None) -> list[Any]:
    """Listed items in the order given; the others stay behind the neighbour that they followed."""

    def identity(item: Any) -> Any:
        return item if by is None else _key(item, by)

    wanted = [identity(entry) for entry in order]
    listed = iter(sorted((item for item in items if identity(item) in wanted), key=lambda i: wanted.index(identity(i))))
    return [next(listed) if identity(item) in wanted else item for item in items]


def _key(item: Any, key: str) -> Any:
    return item.get(key) if isinstance(item, Mapping) else None


def _without_directives(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_directives(item) for key, item in value.items() if not key.startswith("$")}
    if isinstance(value, list):
        return [_without_directives(item) for item in value]
    return copy.deepcopy(value)
