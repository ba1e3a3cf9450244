"""What Go's typed decoding does to the JSON of a built-in kind: unknown fields go, wrong types are refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from trireme.pocket.apiserver.builtin.shapes import REF, resolved
from trireme.pocket.apiserver.quantity import parse_quantity

Json = Any

_QUANTITY = REF + "io.k8s.apimachinery.pkg.api.resource.Quantity"
_PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
}


class DecodeError(ValueError):
    """A value of the wrong type; the message is worded as Go's JSON decoder words it."""


def decode(value: dict[str, Json], schema: dict[str, Any], path: str = "") -> list[str]:
    """Removes nulls and unknown fields in place; returns the paths of the unknown. `path` is where the value lies.

    Raises DecodeError.
    """
    unknown: list[str] = []
    _walk(value, schema, path, unknown)
    return unknown


def _walk(value: Any, schema: dict[str, Any], path: str, unknown: list[str]) -> None:
    if schema.get("$ref") == _QUANTITY:
        _check_quantity(value, path)
        return
    schema = resolved(schema)
    wanted = schema.get("type")
    if wanted is None:
        return
    fits: bool = isinstance(value, _PYTHON_TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
    if not fits:
        found = "object" if isinstance(value, dict) else type(value).__name__.replace("str", "string")
        raise DecodeError(f"json: cannot unmarshal {found} into Go struct field {path} of type {wanted}")
    if wanted == "object":
        _walk_object(value, schema, path, unknown)
    elif wanted == "array":
        for index, item in enumerate(value):
            _walk(item, schema["items"], f"{path}[{index}]", unknown)
    elif schema.get("format") == "date-time":
        _check_time(value)


def _walk_object(value: dict[str, Json], schema: dict[str, Any], path: str, unknown: list[str]) -> None:
    properties, additional = schema.get("properties"), schema.get("additionalProperties")
    if properties is None and additional is None:
        return
    for name in list(value):
        here = f"{path}.{name}" if path else name
        below = additional if properties is None else properties.get(name)
        if below is None:
            unknown.append(here)
            del value[name]
        elif value[name] is None:
            del value[name]
        else:
            _walk(value[name], below, here, unknown)


def _check_time(value: str) -> None:
    if len(value) < len("2006-01-02T15:04:05Z") or value[10] not in "Tt":
        raise DecodeError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}"')
    try:
        datetime.fromisoformat(value)
    except ValueError as error:
        raise DecodeError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": {error}') from error


def _check_quantity(value: Json, path: str) -> None:
    try:
        parse_quantity(str(value))
    except ValueError as error:
        raise DecodeError(f"{path}: {error}") from error
