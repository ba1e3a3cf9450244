"""The rules of a built-in kind: its shape from the published schemas, the rest from the functions of its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trireme.pocket.apiserver.builtin.shapes import shape
from trireme.pocket.apiserver.decoding import decode
from trireme.pocket.apiserver.validation import metadata
from trireme.pocket.objects import names
from trireme.pocket.objects.causes import Cause
from trireme.pocket.objects.merge_keys import MergeKeys, built_in

Object = dict[str, Any]


def _nothing(obj: Object) -> None:
    pass


def _no_causes(*objects: Object) -> list[Cause]:
    return []


@dataclass(frozen=True, slots=True, eq=False)
class BuiltInRules:
    """`shape_name` is the kind's definition in the published schemas."""

    shape_name: str
    name_rule: Callable[[str], str | None] = names.dns_subdomain
    defaults: Callable[[Object], None] = _nothing
    first_status: Callable[[Object], None] = _nothing
    checks: Callable[[Object], list[Cause]] = _no_causes
    update_checks: Callable[[Object, Object], list[Cause]] = _no_causes
    strategic: bool = True

    @property
    def merge_keys(self) -> MergeKeys:
        return built_in(self.shape_name.rpartition(".")[2])

    def decode(self, obj: Object) -> list[str]:
        return decode(obj, shape(self.shape_name))

    def default(self, obj: Object) -> None:
        self.defaults(obj)

    def initialize(self, obj: Object) -> None:
        self.first_status(obj)

    def validate(self, new: Object, old: Object | None) -> list[Cause]:
        found = metadata.validate(new["metadata"], old and old["metadata"], self.name_rule)
        if old is None:
            return found + self.checks(new)
        if _wish(new) == _wish(old):
            return found
        return found + self.checks(new) + self.update_checks(new, old)


def _wish(obj: Object) -> Object:
    """What the checks look at; most updates, being those of a status, leave it as it is."""
    return {field: value for field, value in obj.items() if field not in ("metadata", "status")}
