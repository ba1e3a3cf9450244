"""Reads what nobody has checked yet: what is absent, or not of the type it should be, is empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping(parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def mappings(parent: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """As long as the list is, so that positions stay true."""
    items = parent.get(key)
    return [item if isinstance(item, dict) else {} for item in items] if isinstance(items, list) else []


def text(parent: Mapping[str, Any], key: str) -> str:
    value = parent.get(key)
    return value if isinstance(value, str) else ""
