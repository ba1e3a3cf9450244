"""Checks that several kinds share: of one name, of a choice, of what must not repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from trireme.pocket.objects import causes
from trireme.pocket.objects.causes import Cause


def checked(field: str, value: str | None, check: Callable[[str], str | None], *, needed: bool = True) -> list[Cause]:
    """The causes of one name: absent where it is needed, or refused by `check`."""
    if not value:
        return [causes.required(field)] if needed else []
    problem = check(value)
    return [causes.invalid(field, value, problem)] if problem else []


def one_of(field: str, value: Any, allowed: Iterable[str]) -> list[Cause]:
    return [] if value in allowed else [causes.not_supported(field, value, sorted(allowed))]


def duplicates(field: str, items: Iterable[dict[str, Any]], key: str) -> list[Cause]:
    """The later of each two items that share the value of `key`."""
    seen: set[Any] = set()
    found = []
    for index, item in enumerate(items):
        value = item.get(key)
        if value in seen:
            found.append(causes.duplicate(f"{field}[{index}].{key}", value))
        seen.add(value)
    return found
