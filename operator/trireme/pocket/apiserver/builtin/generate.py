"""Writes `schemas.json`: the shapes of the built-in kinds of Kubernetes, without their descriptions.

    python -m trireme.pocket.apiserver.builtin.generate < _definitions.json > schemas.json

The input is `kubernetes-json-schema/v1.36.0-local/_definitions.json` from PyPI's `kubernetes-validate` 1.37.0, which
holds the definitions that Kubernetes publishes. Run by hand, once for each Kubernetes release.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from trireme.pocket.apiserver.builtin.shapes import REF, ROOTS, references

_DROPPED = {"description", "enum", "x-kubernetes-group-version-kind"}


def shapes(definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions that the roots need, in the form of OpenAPI v3."""
    found: dict[str, Any] = {}
    wanted = list(ROOTS)
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _shape(definitions[name])
            wanted += references(found[name])
    return dict(sorted(found.items()))


def _shape(node: Any) -> Any:
    """One schema: `["string", "null"]` becomes `string`, because Kubernetes' own OpenAPI has no null."""
    if isinstance(node, list):
        return [_shape(item) for item in node]
    if not isinstance(node, dict):
        return node
    shape = {key: value for key, value in node.items() if key not in _DROPPED}
    if "properties" in shape:
        shape["properties"] = {name: _shape(value) for name, value in sorted(shape["properties"].items())}
    for key in ("items", "additionalProperties", "oneOf"):
        if key in shape:
            shape[key] = _shape(shape[key])
    if isinstance(shape.get("type"), list):
        shape["type"] = next(name for name in shape["type"] if name != "null")
    if "$ref" in shape:
        shape["$ref"] = REF + shape["$ref"].rpartition("/")[2]
    return shape


if __name__ == "__main__":
    json.dump(shapes(json.load(sys.stdin)["$defs"]), sys.stdout, separators=(",", ":"), sort_keys=True)
    print()
