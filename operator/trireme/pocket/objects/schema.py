"""The schema of one version of a custom resource: the door to pruning, defaulting and validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trireme.pocket.objects import rules, shaping, validation
from trireme.pocket.objects.causes import BLOCKING, UNCHECKED, Cause
from trireme.pocket.objects.definition import check_definition
from trireme.pocket.objects.merge_keys import MergeKeys, from_schema
from trireme.pocket.objects.structural import ABSENT, compile_schema

__all__ = ["Cause", "Structural", "check_definition"]


class Structural:
    """Compiled once for each version of a definition that `check_definition` found no fault with."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = compile_schema(schema)
        self.merge_keys: MergeKeys = from_schema(schema)

    def prune(self, obj: dict[str, Any]) -> list[str]:
        """Removes unknown fields in place; returns their paths, sorted."""
        return shaping.prune(self._root, obj)

    def default(self, obj: dict[str, Any]) -> None:
        """Fills in defaults in place."""
        shaping.default(self._root, obj)

    def validate(self, obj: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[Cause]:
        """Every cause against an object, `old` being what is stored on update; empty when it may be stored."""
        before = ABSENT if old is None else old
        causes = list(validation.validate(self._root, obj, before))
        if not self._root.has_rules:
            return causes
        if any(cause.reason in BLOCKING for cause in causes):
            return [*causes, UNCHECKED]
        return [*causes, *rules.check(self._root, obj, before, resource=True)]
