"""What a schema's keywords demand of a value, told as causes.

On update a value that did not change is not held against the user: a schema may have been tightened since
(Kubernetes calls it ratcheting). Rules written in CEL are the business of `rules`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from trireme.pocket.objects.causes import (
    Cause,
    child,
    duplicate,
    invalid,
    not_supported,
    required,
    shown,
    too_long,
    too_many,
    type_invalid,
)
from trireme.pocket.objects.formats import RANGES, is_format
from trireme.pocket.objects.structural import ABSENT, Node, same

_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}

EXACT: Final = 2.0**53
"""From here on floats leave out whole numbers: one written as `1e30` is no integer any more."""


def validate(node: Node, value: Any, old: Any = ABSENT, path: str = "") -> Iterator[Cause]:
    """The causes against a value at a path; `old` is what was stored there, where that can be told."""
    if old is not ABSENT and same(value, old):
        return
    if value is None and node.nullable:
        return
    if (cause := _type(node, value, path)) is not None:
        yield cause
        return
    yield from _enum(node, value, path)
    if isinstance(value, str):
        yield from _string(node, value, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number(node, value, path)
    elif isinstance(value, list):
        yield from _list(node, value, old, path)
    elif isinstance(value, Mapping):
        yield from _object(node, value, old, path)
    yield from _junctors(node, value, path)


def correlated(node: Node, new: list[Any], old: Any) -> list[Any]:
    """For each item of a list the old item that it continues, or ABSENT: only map lists tell."""
    if node.list_type != "map" or not isinstance(old, list):
        return [ABSENT] * len(new)
    before = {shown(node.identity(item)): item for item in old}
    return [before.get(shown(node.identity(item)), ABSENT) for item in new]


def field_of(old: Any, key: str) -> Any:
    """The old value of a field, or ABSENT."""
    return old.get(key, ABSENT) if isinstance(old, Mapping) else ABSENT


def _type(node: Node, value: Any, path: str) -> Cause | None:
    actual = "null" if value is None else _TYPES[type(value)]
    if node.int_or_string:
        fits, wanted = actual in ("integer", "string"), "integer,string"
    else:
        wanted = node.type
        fits = (
            not wanted
            or actual == wanted
            or (wanted == "number" and actual == "integer")
            or (wanted == "integer" and actual == "number" and value.is_integer() and abs(value) < EXACT)
        )
    return None if fits else type_invalid(path, actual, f'{path} in body must be of type {wanted}: "{actual}"')


def _enum(node: Node, value: Any, path: str) -> Iterator[Cause]:
    allowed = node.schema.get("enum")
    if allowed is not None and not any(same(value, item) for item in allowed):
        yield not_supported(path, value, allowed)


def _string(node: Node, value: str, path: str) -> Iterator[Cause]:
    shortest, longest, form = (node.schema.get(key) for key in ("minLength", "maxLength", "format"))
    if longest is not None and len(value) > longest:
        yield too_long(path, longest)
    if shortest is not None and len(value) < shortest:
        yield invalid(path, value, f"{path} in body should be at least {shortest} chars long")
    if node.pattern is not None and not node.pattern.search(value):
        yield invalid(path, value, f"{path} in body should match '{node.schema['pattern']}'")
    if form is not None and not is_format(form, value):
        yield type_invalid(path, value, f"{path} in body must be of type {form}: {shown(value)}")


def _number(node: Node, value: float, path: str) -> Iterator[Cause]:
    schema = node.schema
    least, most, step, form = (schema.get(key) for key in ("minimum", "maximum", "multipleOf", "format"))
    if most is not None and (value > most or (schema.get("exclusiveMaximum") and value == most)):
        bound = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield invalid(path, value, f"{path} in body should be {bound} {shown(most)}")
    if least is not None and (value < least or (schema.get("exclusiveMinimum") and value == least)):
        bound = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield invalid(path, value, f"{path} in body should be {bound} {shown(least)}")
    if step is not None and not float(value / step).is_integer():
        yield invalid(path, value, f"{path} in body should be a multiple of {shown(step)}")
    lowest, highest = RANGES.get(form or "", (-math.inf, math.inf))
    if not lowest <= value <= highest:
        yield invalid(path, value, f"Checked value must be of type {node.type} with format {form} in {path}")


def _list(node: Node, value: list[Any], old: Any, path: str) -> Iterator[Cause]:
    fewest, most = node.schema.get("minItems"), node.schema.get("maxItems")
    if most is not None and len(value) > most:
        yield too_many(path, len(value), most)
    if fewest is not None and len(value) < fewest:
        yield invalid(path, len(value), f"{path} in body should have at least {fewest} items")
    if node.items is not None:
        for at, (item, before) in enumerate(zip(value, correlated(node, value, old), strict=True)):
            yield from validate(node.items, item, before, f"{path}[{at}]")
    yield from _unique(node, value, path)


def _unique(node: Node, value: list[Any], path: str) -> Iterator[Cause]:
    if node.list_type == "atomic":
        return
    seen: set[str] = set()
    for at, item in enumerate(value):
        identity = node.identity(item) if node.list_type == "map" else item
        if shown(identity) in seen:
            yield duplicate(f"{path}[{at}]", identity)
        seen.add(shown(identity))


def _object(node: Node, value: Mapping[str, Any], old: Any, path: str) -> Iterator[Cause]:
    fewest, most = node.schema.get("minProperties"), node.schema.get("maxProperties")
    if most is not None and len(value) > most:
        yield too_many(path, len(value), most)
    if fewest is not None and len(value) < fewest:
        yield invalid(path, len(value), f"{path} in body should have at least {fewest} properties")
    for name in node.required:
        if name not in value:
            yield required(child(path, name))
    for name, item in value.items():
        below = node.properties.get(name, node.additional)
        if below is not None:
            yield from validate(below, item, field_of(old, name), child(path, name))
    if node.embedded:
        for name in ("apiVersion", "kind"):
            if not value.get(name):
                yield required(child(path, name), "must not be empty")


def _junctors(node: Node, value: Any, path: str) -> Iterator[Cause]:
    name = path or "."
    for part in node.all_of:
        if refused := list(validate(part, value, path=path)):
            yield from refused
            yield invalid(path, "", f'"{name}" must validate all the schemas (allOf)')
    if node.any_of:
        results = [list(validate(part, value, path=path)) for part in node.any_of]
        if all(results):
            yield invalid(path, "", f'"{name}" must validate at least one schema (anyOf)')
            yield from min(results, key=len)
    if node.one_of:
        results = [list(validate(part, value, path=path)) for part in node.one_of]
        fitting = results.count([])
        if fitting != 1:
            found = "Found none valid" if fitting == 0 else f"Found {fitting} valid alternatives"
            yield invalid(path, "", f'"{name}" must validate one and only one schema (oneOf). {found}')
            yield from min(results, key=len)
    if node.negated is not None and not list(validate(node.negated, value, path=path)):
        yield invalid(path, "", f'"{name}" must not validate the schema (not)')
