"""Checks a Kubernetes object's structure and types: unknown fields, missing fields, wrong types, wrong quantities.

A CRD with a whole PodTemplateSpec inside would be too big for `kubectl apply`, so the API server does not look into
ours; we do, before any pod is made. The definitions are data (data/kubernetes.json, generated); this file walks them.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trireme.spec import words
from trireme.spec.errors import FieldError

Schema = Mapping[str, Any]

_DATA = Path(__file__).parent / "data" / "kubernetes.json"
_QUANTITY = re.compile(r"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?\Z", re.ASCII)
_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "string": (str, "a string"),
    "integer": (int, "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": (bool, "true or false"),
    "array": (list, "a list"),
    "object": (dict, "a mapping"),
}


@functools.cache
def definitions() -> Mapping[str, Schema]:
    """JSON schemas by name of kind or type (`Pod`, `Container`); references are `#/definitions/<name>`."""
    loaded: dict[str, Schema] = json.loads(_DATA.read_text(encoding="utf-8"))["definitions"]
    return loaded


def check(kind: str, value: Any, path: str) -> Iterator[FieldError]:
    """Every problem of `value` as a `kind`, with paths that begin with `path`. Null stands for an absent field."""
    return _check(definitions()[kind], value, path)


def _check(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    if "$ref" in schema:
        schema = definitions()[schema["$ref"].rpartition("/")[2]]
    problem = _type_problem(schema, value) or _limit_problem(schema, value)
    if problem:
        yield FieldError(path, problem)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check(schema["items"], item, f"{path}[{index}]")
    elif isinstance(value, dict):
        yield from _check_object(schema, value, path)


def _check_object(schema: Schema, value: dict[str, Any], path: str) -> Iterator[FieldError]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for key in schema.get("required", ()):
        if value.get(key) is None:
            yield FieldError(f"{path}.{key}", "is required")
    for key, item in value.items():
        if not isinstance(key, str):
            yield FieldError(path, f"keys must be strings, got {words.describe(key)}")
        elif key in properties:
            if item is not None:
                yield from _check(properties[key], item, f"{path}.{key}")
        elif others is False:
            yield FieldError(f"{path}.{words.shown(key)}", words.unknown_field(key, properties))
        elif others is not True:
            yield from _check(others, item, f"{path}[{words.shown(key)}]")


def _type_problem(schema: Schema, value: Any) -> str | None:
    names = schema.get("type", ())
    names = (names,) if isinstance(names, str) else names
    if not names or any(_is(name, value) for name in names):
        return None
    hint = "; put it in quotes" if names == ("string",) and isinstance(value, (bool, int, float)) else ""
    return f"must be {' or '.join(_TYPES[name][1] for name in names)}, got {words.describe(value)}{hint}"


def _is(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if isinstance(value, int) and abs(value) > words.INTEGER_MAX:
        return False
    return isinstance(value, _TYPES[name][0])


def _limit_problem(schema: Schema, value: Any) -> str | None:
    if "enum" in schema and value not in schema["enum"]:
        return words.one_of(schema["enum"], value)
    if "minimum" in schema and value < schema["minimum"]:
        return f"must be at least {schema['minimum']}, got {words.describe(value)}"
    if "maximum" in schema and value > schema["maximum"]:
        return f"must be at most {schema['maximum']}, got {words.describe(value)}"
    if schema.get("format") == "quantity" and not is_quantity(value):
        return f"must be a quantity that is not negative, such as 500m, 2 or 16Gi, got {words.describe(value)}"
    return None


def is_quantity(value: str | int | float) -> bool:
    """Whether Kubernetes takes it for an amount of a resource (apimachinery resource.Quantity, no sign but plus)."""
    if isinstance(value, str):
        return _QUANTITY.match(value) is not None
    return math.isfinite(value) and value >= 0
