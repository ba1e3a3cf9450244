"""Frozen dataclasses to JSON and back, strictly: unknown or missing keys and wrong types are refused with their path.

Keys are camelCase on the wire, as in Kubernetes. Supported field types: str, int, float, bool, Enum, dataclass,
`X | None`, `tuple[X, ...]`, `dict[str, X]` and `dict[int, X]`; that is all the wire needs.

A whole number has 64 bits, as in Kubernetes: what a program says of itself gets into a status, and the API server would
refuse all of it for one longer number.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")

INT_MAX = 2**63 - 1


class BadMessage(ValueError):
    """A message that does not have the agreed form; the text says where."""


def encode(message: Any) -> bytes:
    """JSON of a dataclass, without fields that are None by default. Raises ValueError for a float that JSON has no word
    for.
    """
    return json.dumps(_plain(message), separators=(",", ":"), allow_nan=False).encode()


def decode(kind: type[T], data: bytes | str) -> T:
    """Raises BadMessage."""
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"not JSON: {error}") from error
    return typing.cast(T, _typed(kind, value, "message"))


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        values = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {camel(f.name): _plain(each) for f, each in values if each is not None or f.default is not None}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


@functools.cache
def _fields(kind: type) -> dict[str, tuple[str, Any, bool]]:
    """Wire key -> (attribute, type, required)."""
    hints = typing.get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        camel(f.name): (f.name, hints[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(kind)
    }


def _typed(kind: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        (inner,) = [arm for arm in typing.get_args(kind) if arm is not type(None)]
        return None if value is None else _typed(inner, value, path)
    if origin is tuple:
        _expect(value, list, path)
        return tuple(_typed(typing.get_args(kind)[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        _expect(value, dict, path)
        of_key, of_item = typing.get_args(kind)
        return {_key(of_key, key, path): _typed(of_item, item, f"{path}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass(typing.cast(type, kind), value, path)
    if issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            raise BadMessage(f"{path} must be one of {[member.value for member in kind]}, got {value!r:.100}") from None
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > INT_MAX:
            raise BadMessage(f"{path} does not fit into 64 bits")
        value = float(value) if kind is float else value
    _expect(value, kind, path)
    if kind is float and not math.isfinite(value):
        raise BadMessage(f"{path} must be finite")
    return value


def _dataclass(kind: type, value: Any, path: str) -> Any:
    _expect(value, dict, path)
    known = _fields(kind)
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise BadMessage(f"{path} has unknown fields {unknown}")
    missing = [key for key, (_, _, required) in known.items() if required and key not in value]
    if missing:
        raise BadMessage(f"{path} lacks {missing}")
    return kind(**{known[key][0]: _typed(known[key][1], item, f"{path}.{key}") for key, item in value.items()})


def _key(kind: Any, key: str, path: str) -> Any:
    if kind is str:
        return key
    try:
        return int(key)
    except ValueError:
        raise BadMessage(f"{path} has the key {key!r:.100}, expected a whole number") from None


def _expect(value: Any, kind: type, path: str) -> None:
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise BadMessage(f"{path} must be {kind.__name__}, got {type(value).__name__}")
