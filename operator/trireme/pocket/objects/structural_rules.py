"""What makes an OpenAPI v3 schema structural, and whether the rules in it can be compiled and afforded.

See https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from trireme.pocket.objects import cel_cost
from trireme.pocket.objects.causes import Cause, forbidden, invalid, not_supported, required
from trireme.pocket.objects.cel import compile_expression, compile_rule
from trireme.pocket.objects.cel_syntax import parse
from trireme.pocket.objects.rules import check
from trireme.pocket.objects.structural import compile_schema, python_pattern
from trireme.pocket.objects.validation import validate

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_FORBIDDEN: Final = ("$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id")
_NOT_IN_JUNCTORS: Final = ("type", "default", "additionalProperties", "nullable", "description", "title")
_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_ADVICE: Final = (
    "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings "
    "are declared"
)


def check_schema(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """The causes against a version's schema, field by field."""
    if schema.get("type") != "object":
        yield invalid(f"{path}.type", schema.get("type", ""), "must be object at the root")
    metadata = schema.get("properties", {}).get("metadata", {})
    for field in metadata.get("properties", {}).keys() - {"name", "generateName"}:
        where = f"{path}.properties[metadata].properties[{field}]"
        yield forbidden(where, 'must not be specified in a nested context; only "name" and "generateName" may be')
    total = _Total()
    yield from _node(schema, path, 1, total, root=True, correlatable=True)
    if total.units > cel_cost.SCHEMA_BUDGET:
        factor = total.units / cel_cost.SCHEMA_BUDGET
        yield forbidden(
            path,
            f"x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by "
            f"factor of {_factor(factor)} ({_ADVICE})",
        )


class _Total:
    """The cost of all rules met so far."""

    def __init__(self) -> None:
        self.units = 0.0


def _node(
    schema: Mapping[str, Any], path: str, times: float, total: _Total, *, root: bool = False, correlatable: bool = True
) -> Iterator[Cause]:
    """`times`: how often a value of this schema can occur in one object."""
    yield from _keywords(schema, path, root=root)
    for junctor in ("allOf", "anyOf", "oneOf"):
        for at, part in enumerate(schema.get(junctor, ())):
            yield from _junctor(schema, part, f"{path}.{junctor}[{at}]")
    if "not" in schema:
        yield from _junctor(schema, schema["not"], f"{path}.not")
    resource = root or bool(schema.get("x-kubernetes-embedded-resource"))
    for at, rule in enumerate(schema.get("x-kubernetes-validations", ())):
        where = f"{path}.x-kubernetes-validations[{at}]"
        yield from _rule(rule, schema, where, times, total, resource=resource, correlatable=correlatable)
    for name, below in schema.get("properties", {}).items():
        yield from _node(below, f"{path}.properties[{name}]", times, total, correlatable=correlatable)
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        inside = times * cel_cost.largest(schema)
        yield from _node(values, f"{path}.additionalProperties", inside, total, correlatable=correlatable)
    if isinstance(items := schema.get("items"), Mapping):
        inside = times * cel_cost.largest(schema)
        keyed = correlatable and schema.get("x-kubernetes-list-type") == "map"
        yield from _node(items, f"{path}.items", inside, total, correlatable=keyed)


def _keywords(schema: Mapping[str, Any], path: str, *, root: bool) -> Iterator[Cause]:
    kind = schema.get("type", "")
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not kind and not free and not root:
        yield required(f"{path}.type", "must not be empty for specified object fields")
    if kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    for keyword in _FORBIDDEN:
        if keyword in schema:
            yield forbidden(f"{path}.{keyword}", f"{keyword} is not supported")
    if schema.get("uniqueItems"):
        yield forbidden(
            f"{path}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )
    if schema.get("properties") and schema.get("additionalProperties"):
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get("additionalProperties") is False:
        yield forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    if kind == "array" and not isinstance(schema.get("items"), Mapping):
        yield required(f"{path}.items", "must be specified")
    if "pattern" in schema:
        try:
            re.compile(python_pattern(schema["pattern"]))
        except re.error as error:
            yield invalid(
                f"{path}.pattern", schema["pattern"], f"must be a valid regular expression, but isn't: {error}"
            )
    yield from _lists(schema, path)
    if "default" in schema:
        yield from _default(schema, f"{path}.default")


def _default(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """A default is held against the schema as it stands there: the defaults below it are not filled in yet."""
    try:
        node = compile_schema(schema)
    except ValueError:
        return  # a rule or a pattern is wrong, which is told where it stands
    found = list(validate(node, schema["default"], path=path))
    yield from found or check(node, schema["default"], path=path)


def _lists(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys", ())
    if kind not in (None, "atomic", "set", "map"):
        yield not_supported(f"{path}.x-kubernetes-list-type", kind, ("atomic", "map", "set"))
    if keys and kind != "map":
        yield invalid(f"{path}.x-kubernetes-list-type", kind, "must be map if x-kubernetes-list-map-keys is non-empty")
    if kind != "map":
        return
    if not keys:
        yield required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    items = schema.get("items", {})
    for at, key in enumerate(keys):
        field = items.get("properties", {}).get(key)
        if field is None:
            yield invalid(
                f"{path}.x-kubernetes-list-map-keys[{at}]", key, "entries must all be names of item properties"
            )
        elif key not in items.get("required", ()) and "default" not in field:
            yield required(
                f"{path}.items.properties[{key}].default",
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            )


def _junctor(spine: Mapping[str, Any], part: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """A schema inside a junctor may only narrow what the schema around it spells out."""
    free = spine.get("x-kubernetes-int-or-string")
    for keyword in _NOT_IN_JUNCTORS:
        if keyword in part and not (keyword == "type" and free):
            yield forbidden(f"{path}.{keyword}", f"must be empty to be structural; {keyword} belongs outside a junctor")
    for name, below in part.get("properties", {}).items():
        known = spine.get("properties", {}).get(name)
        if known is None:
            where = f"{path}.properties[{name}]"
            yield required(where, "because it is defined inside a junctor, the schema around it must define it too")
        else:
            yield from _junctor(known, below, f"{path}.properties[{name}]")


def _rule(
    told: Mapping[str, Any],
    schema: Mapping[str, Any],
    path: str,
    times: float,
    total: _Total,
    *,
    resource: bool,
    correlatable: bool,
) -> Iterator[Cause]:
    expression = told.get("rule", "")
    if not expression.strip():
        yield required(f"{path}.rule", "rule is not specified")
        return
    if told.get("reason", _REASONS[0]) not in _REASONS:
        yield not_supported(f"{path}.reason", told["reason"], _REASONS)
    if "\n" in expression and not told.get("message") and not told.get("messageExpression"):
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    if "\n" in told.get("message", ""):
        yield invalid(f"{path}.message", told["message"], "message must not contain line breaks")
    units = 0.0
    for field in ("rule", "messageExpression"):
        if text := told.get(field):
            try:
                compile_expression(text)
                units += cel_cost.estimate(parse(text), schema, resource=resource)
            except ValueError as error:
                yield invalid(f"{path}.{field}", text, str(error))
                return
    rule = compile_rule(told)
    if rule.uses_old and not correlatable:
        where = "oldSelf cannot be used on the uncorrelatable portion of the schema"
        yield invalid(f"{path}.rule", expression, where)
    if rule.optional_old and not rule.uses_old:
        yield invalid(f"{path}.optionalOldSelf", True, "may not be set if oldSelf is not used in rule")
    cost = units * times
    total.units += cost
    if cost > cel_cost.RULE_BUDGET:
        factor = _factor(cost / cel_cost.RULE_BUDGET)
        yield forbidden(f"{path}.rule", f"estimated rule cost exceeds budget by factor of {factor} ({_ADVICE})")


def _factor(factor: float) -> str:
    return "more than 100x" if factor > 100 else f"{factor:.1f}x"
