"""Protobuf bodies of built-in kinds, which kubectl's own commands and Go clients send, as the JSON they stand for.

The schemas say what a field is, `wire.json` (written by `generate_wire`) which number it has. Answers stay JSON: every
such client accepts it.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from trireme.pocket.apiserver.builtin.shapes import META, REF, shape

Json = Any

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\0"
_TIMES: Final = {f"{META}Time": "seconds", f"{META}MicroTime": "microseconds"}
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_FIELDS: Final = f"{META}FieldsV1"


class WireError(ValueError):
    """A body that is not the protobuf of the message expected."""


def known(shape_name: str) -> bool:
    """Whether the field numbers of a kind are known."""
    return shape_name in _table()["messages"]


def decode(body: bytes, shape_name: str) -> dict[str, Json]:
    """The object in a `runtime.Unknown` envelope. Raises WireError."""
    if not body.startswith(_MAGIC):
        raise WireError('provided data does not appear to be a protobuf message, expected prefix "k8s\\0"')
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        names = {number: value.decode() for number, value in _fields(envelope.get(1, b""))}
        obj = _message(envelope.get(2, b""), shape_name)
    except (IndexError, UnicodeDecodeError, AttributeError, TypeError, struct.error) as error:
        raise WireError(f"malformed protobuf: {error}") from error
    return {"apiVersion": names.get(1, ""), "kind": names.get(2, ""), **obj}


def _message(data: bytes, name: str, properties: dict[str, Any] | None = None) -> dict[str, Json]:
    """One message; `properties` are those of the object into which JSON inlines it."""
    numbers = _table()["messages"].get(name, {})
    if properties is None:
        properties = shape(name).get("properties", {})
    obj: dict[str, Json] = {}
    for number, raw in _fields(data):
        field = numbers.get(str(number))
        if isinstance(field, dict):
            obj |= _message(raw, field["inline"], properties)
        elif field is not None:
            _set(obj, field, raw, properties[field])
    return obj


def _set(obj: dict[str, Json], field: str, raw: Any, schema: dict[str, Any]) -> None:
    match schema.get("type"):
        case "array":
            obj.setdefault(field, []).append(_value(raw, schema["items"]))
            return
        case "object" if "additionalProperties" in schema:
            entry = dict(_fields(raw))
            obj.setdefault(field, {})[entry.get(1, b"").decode()] = _value(
                entry.get(2, b""), schema["additionalProperties"]
            )
            return
    value = _value(raw, schema)
    if value or (value is not None and value != "" and field in _table()["pointers"]):
        obj[field] = value


def _value(raw: Any, schema: dict[str, Any]) -> Json:
    """A field's value; None for a time that is not set."""
    name = schema.get("$ref", "").removeprefix(REF)
    if name:
        return _referenced(raw, name)
    match schema.get("type"):
        case "string":
            return base64.b64encode(raw).decode() if schema.get("format") == "byte" else raw.decode()
        case "boolean":
            return bool(raw)
        case "number":
            return struct.unpack("<d", struct.pack("<Q", raw))[0]
        case "array":
            return [_value(item, schema["items"]) for _, item in _fields(raw)]
    return raw - (1 << 64) if raw >= 1 << 63 else raw


def _referenced(raw: bytes, name: str) -> Json:
    if name in _TIMES:
        parts = dict(_fields(raw))
        if not parts.get(1):
            return None
        moment = datetime.fromtimestamp(parts[1], UTC).replace(microsecond=parts.get(2, 0) // 1000)
        return moment.isoformat(timespec=_TIMES[name]).replace("+00:00", "Z")
    if name == _QUANTITY:
        return dict(_fields(raw)).get(1, b"").decode()
    if name == _INT_OR_STRING:
        parts = dict(_fields(raw))
        return parts.get(3, b"").decode() if parts.get(1) else parts.get(2, 0)
    if name == _FIELDS:
        return json.loads(dict(_fields(raw)).get(1, b"{}"))
    return _message(raw, name)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The (number, value) pairs of a message: integers, or bytes. Raises IndexError where it ends too early."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value, at = _varint(data, at)
                yield key >> 3, value
            case 2:
                size, at = _varint(data, at)
                if at + size > len(data):
                    raise IndexError("a field is longer than its message")
                yield key >> 3, data[at : at + size]
                at += size
            case 1:
                yield key >> 3, struct.unpack_from("<Q", data, at)[0]
                at += 8
            case 5:
                yield key >> 3, struct.unpack_from("<I", data, at)[0]
                at += 4
            case wire_type:
                raise IndexError(f"wire type {wire_type}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = msgspec.json.decode(files(__package__).joinpath("wire.json").read_bytes())
    return table
