"""Pruning and defaulting: what a custom resource looks like once its schema has had its say.

Both edit the object in place, as the API server does between decoding and validation, and doing either twice changes
nothing more.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from trireme.pocket.objects.causes import child
from trireme.pocket.objects.structural import ABSENT, METADATA_FIELDS, RESOURCE_FIELDS, Node


def prune(node: Node, obj: dict[str, Any]) -> list[str]:
    """Removes what the schema does not know; returns the removed paths, sorted."""
    return sorted(_prune(node, obj, "", resource=True))


def _prune(node: Node, value: Any, path: str, *, resource: bool = False) -> Iterator[str]:
    if isinstance(value, list):
        for at, item in enumerate(value if node.items else ()):
            assert node.items is not None
            yield from _prune(node.items, item, f"{path}[{at}]", resource=node.items.embedded)
    if not isinstance(value, dict) or node.accepts_any_key:
        return
    for key in list(value):
        where = child(path, key)
        below = node.properties.get(key, node.additional)
        if resource and key in RESOURCE_FIELDS:
            if key == "metadata":
                yield from _prune_metadata(value[key], where)
        elif below is not None:
            yield from _prune(below, value[key], where, resource=below.embedded)
        elif not node.preserves_unknown:
            del value[key]
            yield where


def _prune_metadata(metadata: Any, path: str) -> Iterator[str]:
    for key in list(metadata) if isinstance(metadata, dict) else ():
        if key not in METADATA_FIELDS:
            del metadata[key]
            yield child(path, key)


def default(node: Node, value: Any) -> None:
    """Fills in defaults. A null where none is allowed counts as absent."""
    if isinstance(value, list) and node.items is not None:
        for at, item in enumerate(value):
            value[at] = _defaulted(node.items, item)
    if not isinstance(value, dict):
        return
    for key, below in node.properties.items():
        filled = _defaulted(below, value.get(key, ABSENT))
        if filled is ABSENT or (filled is None and not below.nullable):
            value.pop(key, None)
        else:
            value[key] = filled
    if node.additional is not None:
        for key in value.keys() - node.properties.keys():
            value[key] = _defaulted(node.additional, value[key])


def _defaulted(node: Node, value: Any) -> Any:
    if node.default is not ABSENT and (value is ABSENT or (value is None and not node.nullable)):
        value = copy.deepcopy(node.default)
    if value is not ABSENT:
        default(node, value)
    return value
