"""What a rule may cost at worst, and which fields it names that its schema does not have.

As in Kubernetes, the sizes that a schema allows bound the estimate: a list without maxItems may fill a whole request,
so a rule that iterates it is refused when the definition is created, not when it hurts. The figures are Kubernetes'
budgets and its unit costs in outline; the estimate is coarser, and errs where nested loops meet long strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from trireme.pocket.objects.cel_syntax import Expression, is_macro
from trireme.pocket.objects.escaping import spellings

RULE_BUDGET: Final = 10_000_000
SCHEMA_BUDGET: Final = 100_000_000
REQUEST_BYTES: Final = 3 * 1024 * 1024
_PER_CHARACTER: Final = 0.1
_PER_PATTERN_CHARACTER: Final = 0.25
_KEY: Final[Mapping[str, Any]] = {"type": "string", "maxLength": 0}  # Kubernetes counts a map's keys as free, too
_SCANS: Final = frozenset({
    "startsWith", "endsWith", "contains", "matches", "find", "findAll", "indexOf", "lastIndexOf", "lowerAscii",
    "upperAscii", "replace", "split", "substring", "trim", "isSorted", "sum", "min", "max", "join",
})  # fmt: skip
_SAME_TYPE: Final = frozenset({"lowerAscii", "upperAscii", "replace", "substring", "trim"})
_SMALLEST: Final = {"object": 2, "array": 2, "string": 2, "boolean": 4, "integer": 1, "number": 1}
_ANY: Final[Mapping[str, Any]] = {"x-kubernetes-preserve-unknown-fields": True}
_BOOLEAN: Final[Mapping[str, Any]] = {"type": "boolean"}


class UnknownField(ValueError):
    """A rule names a field that its schema does not have."""


@dataclass(frozen=True, slots=True)
class _Cost:
    """The schema of an expression's value, and what computing it costs."""

    schema: Mapping[str, Any]
    units: float


def estimate(expression: Expression, schema: Mapping[str, Any], *, resource: bool = False) -> float:
    """The worst cost of one run of a rule over a value of this schema. Raises UnknownField."""
    if resource:
        text: Mapping[str, Any] = {"type": "string", "maxLength": 253}
        identity = {"type": "object", "properties": {"name": text, "generateName": text}}
        known = {"apiVersion": text, "kind": text, "metadata": identity}
        schema = {**schema, "properties": {**schema.get("properties", {}), **known}}
    return _cost(expression, {"self": schema, "oldSelf": schema}).units


def largest(schema: Mapping[str, Any]) -> float:
    """The most items, entries or bytes that a value of this schema can have in one request."""
    match schema.get("type"):
        case "array":
            return float(schema.get("maxItems", _fitting(schema.get("items"))))
        case "object" if "additionalProperties" in schema:
            return float(schema.get("maxProperties", _fitting(schema["additionalProperties"])))
        case "string":
            if "enum" in schema:
                return float(max((len(str(value)) for value in schema["enum"]), default=0))
            if schema.get("format") in ("date-time", "date", "duration", "int32", "int64"):
                return 64.0
            return float(min(4 * schema["maxLength"], REQUEST_BYTES) if "maxLength" in schema else REQUEST_BYTES)
    return 1.0


def _fitting(items: Any) -> int:
    return REQUEST_BYTES // (_smallest(items if isinstance(items, Mapping) else {}) + 1)


def _smallest(schema: Mapping[str, Any]) -> int:
    """The fewest bytes that a value of this schema takes in JSON."""
    required = schema.get("required", ()) if schema.get("type") == "object" else ()
    fields = schema.get("properties", {})
    return _SMALLEST.get(schema.get("type", ""), 1) + sum(
        len(name) + 4 + _smallest(fields.get(name, {})) for name in required
    )


def _cost(expression: Expression, scope: Mapping[str, Mapping[str, Any]]) -> _Cost:
    match expression.kind:
        case "literal":
            text = expression.name[-1:] in "'\""
            return _Cost({"type": "string", "enum": [expression.name]} if text else _ANY, 0)
        case "name":
            return _Cost(scope.get(expression.name, _ANY), 1)
        case "select":
            target = _cost(expression.parts[0], scope)
            return _Cost(_field(target.schema, expression.name), target.units + 1)
        case "index":
            target, at = (_cost(part, scope) for part in expression.parts)
            return _Cost(_items(target.schema), target.units + at.units + 1)
        case "method" if is_macro(expression):
            return _macro(expression, scope)
    parts = [_cost(part, scope) for part in expression.parts]
    units = sum(part.units for part in parts) + 1
    sizes = [largest(part.schema) for part in parts if part.schema.get("type") in ("string", "array")]
    if expression.kind == "operator" and expression.name in ("==", "!=", "<", "<=", ">", ">=", "in", "+"):
        compared = max(sizes, default=0) if expression.name in ("in", "+") else min(sizes, default=0)
        units += compared if expression.name == "in" else compared * _PER_CHARACTER
    elif expression.name in _SCANS and sizes:
        pattern = sizes[1] * _PER_PATTERN_CHARACTER if expression.name == "matches" and len(sizes) > 1 else 1.0
        units += sizes[0] * _PER_CHARACTER * max(1.0, pattern)
    if expression.name in _SAME_TYPE:
        return _Cost(parts[0].schema, units)
    return _Cost(_BOOLEAN if expression.kind == "operator" else _ANY, units)


def _macro(expression: Expression, scope: Mapping[str, Mapping[str, Any]]) -> _Cost:
    receiver, variable, *body = expression.parts
    target = _cost(receiver, scope)
    listed = target.schema.get("type") == "array"
    element = _items(target.schema) if listed else _KEY
    inner = {**scope, variable.name: element}
    times = largest(target.schema)
    steps = [_cost(part, inner) for part in body]
    units = target.units + times * (1 + sum(step.units for step in steps))
    if expression.name == "filter":
        return _Cost(target.schema, units)
    if expression.name == "map":
        return _Cost({"type": "array", "maxItems": times, "items": steps[-1].schema}, units)
    return replace(target, schema=_BOOLEAN, units=units)


def _field(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for own, below in schema.get("properties", {}).items():
        if name in spellings(own):
            found: Mapping[str, Any] = below
            return found
    additional = schema.get("additionalProperties")
    if isinstance(additional, Mapping):
        return additional
    if schema.get("type") == "object" and schema is not _ANY and not additional:
        raise UnknownField(f"undefined field '{name}'")
    return _ANY


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    below = schema.get("items", schema.get("additionalProperties"))
    return below if isinstance(below, Mapping) else _ANY
