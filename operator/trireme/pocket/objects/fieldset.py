"""Sets of field paths: what server-side apply means by "the fields that a manager owns".

A path is a tuple of elements in the spelling of FieldsV1, which is also how managedFields stores them: `f:spec` is a
field, `k:{"name":"c"}` an item of a map list, `v:"x"` an item of a set. A set of paths is a plain frozenset, so
ownership is set arithmetic.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from trireme.pocket.objects.merge_keys import Merge, MergeKeys
from trireme.pocket.objects.structural import same

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]

_SELF: Final = "."


@dataclass(frozen=True, slots=True)
class Difference:
    """What turns one value into another: the paths set or added, and those that are gone."""

    written: FieldSet
    removed: FieldSet


def owned(value: Any, keys: MergeKeys) -> FieldSet:
    """The paths that an applied value names."""
    return frozenset(_walk(value, keys, (), containers=False))


def repeated(value: Any, keys: MergeKeys, path: Path = ()) -> list[Path]:
    """The items of map lists and sets that a value names more than once, each told once."""
    if isinstance(value, Mapping) and keys.of_object() is Merge.GRANULAR:
        below = ((item, keys.child(name), (*path, f"f:{name}")) for name, item in value.items())
        return [found for item, inner, at in below for found in repeated(item, inner, at)]
    if not isinstance(value, list) or keys.of_list() is Merge.ATOMIC:
        return []
    counts = Counter((*path, element_of(item, keys)) for item in value)
    inside = (repeated(item, keys.items, (*path, element_of(item, keys))) for item in value)
    return [at for at, count in counts.items() if count > 1] + [found for paths in inside for found in paths]


def difference(old: Any, new: Any, keys: MergeKeys) -> Difference:
    """The paths by which two values differ; a container that appears or goes counts as a path itself."""
    written: set[Path] = set()
    removed: set[Path] = set()
    _compare(old, new, keys, (), written, removed)
    return Difference(frozenset(written), frozenset(removed))


def prefixes(paths: Iterable[Path]) -> FieldSet:
    """The paths and all the paths above them."""
    return frozenset(path[:length] for path in paths for length in range(1, len(path) + 1))


def encode(paths: Iterable[Path]) -> dict[str, Any]:
    """The FieldsV1 tree of a set."""
    root: dict[str, Any] = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node[_SELF] = {}
    return _collapsed(root)


def decode(fields: Mapping[str, Any]) -> FieldSet:
    """The set that a FieldsV1 tree tells."""
    return frozenset(_decode(fields, ()))


def shown(path: Path) -> str:
    """The path as messages spell it: `.spec.containers[name="c"].image`."""
    return "".join(map(_shown, path))


def element_of(item: Any, keys: MergeKeys) -> str:
    """The path element of an item of a map list or a set."""
    if keys.of_list() is Merge.SET or not isinstance(item, Mapping):
        return f"v:{_json(item)}"
    told = {key: item.get(key, default) for key, default in sorted(keys.keys.items())}
    return f"k:{_json({key: value for key, value in told.items() if value is not None})}"


def remove(value: Any, path: Path, keys: MergeKeys) -> None:
    """Removes what is at a path, in place; an absent path is no error."""
    element, rest = path[0], path[1:]
    if isinstance(value, list):
        at = next((at for at, item in enumerate(value) if element_of(item, keys) == element), None)
        if at is not None and rest:
            remove(value[at], rest, keys.items)
        elif at is not None:
            del value[at]
    elif isinstance(value, dict) and (name := element[2:]) in value:
        if rest:
            remove(value[name], rest, keys.child(name))
        else:
            del value[name]


def merge(live: Any, applied: Any, keys: MergeKeys) -> Any:
    """What `live` becomes when `applied` is laid over it; neither is edited."""
    if isinstance(live, Mapping) and isinstance(applied, Mapping) and keys.of_object() is Merge.GRANULAR:
        laid = {
            name: merge(live[name], value, keys.child(name)) if name in live else value
            for name, value in applied.items()
        }
        return {**live, **laid}
    if not (isinstance(live, list) and isinstance(applied, list)) or keys.of_list() is Merge.ATOMIC:
        return applied
    return _merge_lists(live, applied, keys)


def _merge_lists(live: list[Any], applied: list[Any], keys: MergeKeys) -> list[Any]:
    """The applied order, with the items that only live has kept behind the neighbour they followed."""
    before = {element_of(item, keys): item for item in live}
    waiting = {element_of(item, keys): item for item in applied}
    merged: list[Any] = []

    def take(element: str) -> None:
        item = waiting.pop(element)
        merged.append(merge(before[element], item, keys.items) if element in before else item)

    named = frozenset(waiting)
    for item in live:
        element = element_of(item, keys)
        if element not in named:
            merged.append(item)
        while element in waiting:
            take(next(iter(waiting)))
    for element in list(waiting):
        take(element)
    return merged


def _walk(value: Any, keys: MergeKeys, path: Path, *, containers: bool) -> Iterator[Path]:
    """The paths at and below a value; those of containers that hold anything only where asked for."""
    if isinstance(value, Mapping) and value and keys.of_object() is Merge.GRANULAR:
        if containers and path:
            yield path
        for name, item in value.items():
            yield from _walk(item, keys.child(name), (*path, f"f:{name}"), containers=containers)
    elif isinstance(value, list) and value and keys.of_list() is not Merge.ATOMIC:
        if containers and path:
            yield path
        for item in value:
            at = (*path, element_of(item, keys))
            yield at
            if keys.of_list() is Merge.MAP:
                yield from _walk(item, keys.items, at, containers=containers)
    elif path:
        yield path


def _compare(old: Any, new: Any, keys: MergeKeys, path: Path, written: set[Path], removed: set[Path]) -> None:
    if old is new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping) and keys.of_object() is Merge.GRANULAR:
        _compare_items(old, new, keys.child, lambda name: f"f:{name}", path, written, removed)
    elif isinstance(old, list) and isinstance(new, list) and keys.of_list() is not Merge.ATOMIC:
        _compare_items(
            _by_element(old, keys),
            _by_element(new, keys),
            lambda _: keys.items,
            lambda name: name,
            path,
            written,
            removed,
        )
    elif not same(old, new):
        after = frozenset(_walk(new, keys, path, containers=True))
        written |= after
        removed |= frozenset(_walk(old, keys, path, containers=True)) - after


def _compare_items(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    keys_of: Callable[[str], MergeKeys],
    element: Callable[[str], str],
    path: Path,
    written: set[Path],
    removed: set[Path],
) -> None:
    for name, value in new.items():
        at = (*path, element(name))
        if name in old:
            _compare(old[name], value, keys_of(name), at, written, removed)
        else:
            written.add(at)
            written.update(_walk(value, keys_of(name), at, containers=True))
    for name in old.keys() - new.keys():
        at = (*path, element(name))
        removed.add(at)
        removed.update(_walk(old[name], keys_of(name), at, containers=True))


def _by_element(items: list[Any], keys: MergeKeys) -> dict[str, Any]:
    """Items by path element. Several of one key (which some built-in lists allow) stand as one value."""
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(element_of(item, keys), []).append(item)
    return {
        element: same_key[0] if len(same_key) == 1 else tuple(map(_json, same_key))
        for element, same_key in found.items()
    }


def _collapsed(tree: dict[str, Any]) -> dict[str, Any]:
    if tree.keys() == {_SELF}:
        return {}
    return {element: _collapsed(below) for element, below in tree.items()}


def _decode(fields: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for element, below in fields.items():
        if element == _SELF:
            yield path
        else:
            at = (*path, element)
            if not below:
                yield at
            yield from _decode(below, at)


def _shown(element: str) -> str:
    kind, told = element[:2], element[2:]
    if kind == "k:":
        return f"[{','.join(f'{key}={_json(value)}' for key, value in json.loads(told).items())}]"
    return f"[={told}]" if kind == "v:" else f".{told}"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
