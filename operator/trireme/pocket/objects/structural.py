"""A CRD version's OpenAPI v3 schema, compiled once into a tree that pruning, defaulting and validation walk.

Only the form is known here: what each keyword demands of a value is told by `validation`, its rules by `cel`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from trireme.pocket.objects.cel import Rule, compile_rule

ABSENT: Final = object()
"""Stands for a value that is not there, where None would be JSON's null."""

METADATA_FIELDS: Final = frozenset({
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
    "managedFields",
})  # fmt: skip
RESOURCE_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One node of the schema. `schema` keeps the plain keywords: bounds, enum, format, required."""

    schema: Mapping[str, Any]
    type: str
    properties: Mapping[str, Node]
    additional: Node | None
    items: Node | None
    default: Any
    pattern: re.Pattern[str] | None
    all_of: tuple[Node, ...]
    any_of: tuple[Node, ...]
    one_of: tuple[Node, ...]
    negated: Node | None
    rules: tuple[Rule, ...]
    has_rules: bool
    nullable: bool
    preserves_unknown: bool
    accepts_any_key: bool
    embedded: bool
    int_or_string: bool
    list_type: Literal["atomic", "set", "map"]
    list_keys: tuple[str, ...]

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(self.schema.get("required", ()))

    def identity(self, item: Any) -> dict[str, Any] | None:
        """The keys by which an item of this map list is told from the others; None when the item is no object."""
        if not isinstance(item, Mapping):
            return None
        fields = self.items.properties if self.items else {}
        told = {key: item.get(key, fields[key].default if key in fields else ABSENT) for key in self.list_keys}
        return {key: value for key, value in told.items() if value is not ABSENT}


def compile_schema(schema: Mapping[str, Any]) -> Node:
    """Compiles a schema that passed `definition`'s checks; raises ValueError for a rule or pattern that does not."""
    additional = schema.get("additionalProperties")
    pattern = schema.get("pattern")
    negated = schema.get("not")
    items = schema.get("items")
    rules = tuple(map(compile_rule, schema.get("x-kubernetes-validations", ())))
    properties = {name: compile_schema(sub) for name, sub in schema.get("properties", {}).items()}
    values = compile_schema(additional) if isinstance(additional, Mapping) else None
    elements = compile_schema(items) if isinstance(items, Mapping) else None
    return Node(
        schema=schema,
        type=schema.get("type", ""),
        properties=properties,
        additional=values,
        items=elements,
        default=schema.get("default", ABSENT),
        pattern=None if pattern is None else re.compile(python_pattern(pattern)),
        all_of=tuple(map(compile_schema, schema.get("allOf", ()))),
        any_of=tuple(map(compile_schema, schema.get("anyOf", ()))),
        one_of=tuple(map(compile_schema, schema.get("oneOf", ()))),
        negated=None if negated is None else compile_schema(negated),
        rules=rules,
        has_rules=bool(rules) or any(below.has_rules for below in (*properties.values(), values, elements) if below),
        nullable=bool(schema.get("nullable")),
        preserves_unknown=bool(schema.get("x-kubernetes-preserve-unknown-fields")),
        accepts_any_key=additional is True,
        embedded=bool(schema.get("x-kubernetes-embedded-resource")),
        int_or_string=bool(schema.get("x-kubernetes-int-or-string")),
        list_type=schema.get("x-kubernetes-list-type", "atomic"),
        list_keys=tuple(schema.get("x-kubernetes-list-map-keys", ())),
    )


def python_pattern(pattern: str) -> str:
    """An RE2 pattern for Python's `re`: there `$` would also match before a final newline."""
    parts = re.findall(r"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|.", pattern, re.DOTALL)
    return "".join({"$": r"\Z", r"\z": r"\Z"}.get(part, part) for part in parts)


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) is isinstance(b, bool) and bool(a == b)
