"""ConfigMaps and Secrets: keys, size, immutability and `stringData`."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from trireme.pocket.objects import causes, names
from trireme.pocket.objects.causes import Cause

Object = dict[str, Any]

LIMIT: Final = 1024 * 1024
_IMMUTABLE: Final = "field is immutable when `immutable` is set"


def default_secret(secret: Object) -> None:
    """`stringData` is written into `data` and never stored."""
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = {**secret.get("data", {}), **encoded}


def validate_config_map(config_map: Object) -> list[Cause]:
    data, binary = config_map.get("data", {}), config_map.get("binaryData", {})
    found = _keys("data", data) + _keys("binaryData", binary)
    found += [
        causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData") for key in data if key in binary
    ]
    size = sum(len(value.encode()) for value in data.values()) + sum(len(value) * 3 // 4 for value in binary.values())
    return [*found, causes.too_long("", LIMIT)] if size > LIMIT else found


def validate_config_map_update(new: Object, old: Object) -> list[Cause]:
    return _frozen(new, old, ("data", "binaryData"))


def validate_secret(secret: Object) -> list[Cause]:
    found = _keys("data", secret.get("data", {}))
    size = 0
    for key, value in secret.get("data", {}).items():
        try:
            size += len(base64.b64decode(value, validate=True))
        except binascii.Error:
            found.append(causes.invalid(f"data[{key}]", "<secret>", "must be base64"))
    return [*found, causes.too_long("data", LIMIT)] if size > LIMIT else found


def validate_secret_update(new: Object, old: Object) -> list[Cause]:
    found = _frozen(new, old, ("data",))
    if new["type"] != old["type"]:
        found.append(causes.invalid("type", new["type"], "field is immutable"))
    return found


def _keys(field: str, data: dict[str, str]) -> list[Cause]:
    return [causes.invalid(f"{field}[{key}]", key, problem) for key in data if (problem := names.config_key(key))]


def _frozen(new: Object, old: Object, fields: tuple[str, ...]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    found = [] if new.get("immutable") else [causes.forbidden("immutable", _IMMUTABLE)]
    return found + [causes.forbidden(field, _IMMUTABLE) for field in fields if new.get(field) != old.get(field)]
