"""Runs the rules of a schema over a value: which part of it each one sees, and against which old part.

A rule sees its node's value with the schema's types: unknown fields are invisible, a number is a double, a string of
format date-time is a time. A rule that uses `oldSelf` runs on update only, unless it takes it as an optional.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from trireme.pocket.objects.causes import Cause, child, duplicate, forbidden, invalid, refused, required
from trireme.pocket.objects.cel import Rule, RuleError, evaluate, nothing, some
from trireme.pocket.objects.escaping import spellings
from trireme.pocket.objects.formats import parse_bytes, parse_duration, parse_time
from trireme.pocket.objects.structural import ABSENT, Node, same
from trireme.pocket.objects.validation import correlated, field_of

_PARSERS: Final = {
    "date-time": parse_time,
    "datetime": parse_time,
    "date": lambda text: parse_time(f"{text}T00:00:00Z"),
    "duration": parse_duration,
    "byte": parse_bytes,
}


def check(node: Node, value: Any, old: Any = ABSENT, path: str = "", *, resource: bool = False) -> Iterator[Cause]:
    """The causes that the rules at and below a node find; the value must have passed validation."""
    if not node.has_rules or value is None:
        return
    unchanged = old is not ABSENT and same(value, old)
    for rule in node.rules:
        if rule.uses_old and not rule.optional_old and old in (ABSENT, None):
            continue
        if unchanged and not rule.uses_old:
            continue
        yield from _run(rule, node, value, old, path, resource=resource)
    if isinstance(value, list) and node.items is not None:
        for at, (item, before) in enumerate(zip(value, correlated(node, value, old), strict=True)):
            yield from check(node.items, item, before, f"{path}[{at}]", resource=node.items.embedded)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if (below := node.properties.get(name)) is not None:
                yield from check(below, item, field_of(old, name), child(path, name), resource=below.embedded)
            elif node.additional is not None:
                yield from check(node.additional, item, field_of(old, name), f"{path}[{name}]")


def _run(rule: Rule, node: Node, value: Any, old: Any, path: str, *, resource: bool) -> Iterator[Cause]:
    try:
        variables = _variables(rule, node, value, old, resource=resource)
        if evaluate(rule.program, variables) is True:
            return
        detail = _message(rule, variables)
    except ValueError as error:
        yield invalid(path or "<nil>", node.type, f"{error} evaluating rule: {rule.message or rule.expression}")
        return
    where = path + rule.field_path if path else rule.field_path.removeprefix(".")
    yield _cause(rule.reason, where or "<nil>", value, detail)


def _variables(rule: Rule, node: Node, value: Any, old: Any, *, resource: bool) -> dict[str, Any]:
    variables = {"self": typed(node, value, resource=resource)}
    if rule.uses_old:
        before = nothing() if old is ABSENT else typed(node, old, resource=resource)
        variables["oldSelf"] = some(before) if rule.optional_old and old is not ABSENT else before
    return variables


def _message(rule: Rule, variables: Mapping[str, Any]) -> str:
    default = rule.message or f"failed rule: {rule.expression.strip()}"
    if rule.message_program is None:
        return default
    try:
        told = evaluate(rule.message_program, variables)
    except RuleError:
        return default  # as Kubernetes: a message that cannot be formed gives way to the plain one
    return told if isinstance(told, str) and told.strip() and "\n" not in told else default


def _cause(reason: str, path: str, value: Any, detail: str) -> Cause:
    match reason:
        case "FieldValueForbidden":
            return forbidden(path, detail)
        case "FieldValueRequired":
            return required(path, detail)
        case "FieldValueDuplicate":
            return duplicate(path, value)
    return refused(path, value, detail)


def typed(node: Node, value: Any, *, resource: bool = False) -> Any:
    """A JSON value as a rule sees it, with the schema's types and escaped field names."""
    if isinstance(value, Mapping):
        seen: dict[str, Any] = {}
        for name, item in value.items():
            if (below := node.properties.get(name)) is not None:
                seen |= dict.fromkeys(spellings(name), typed(below, item, resource=below.embedded))
            elif node.additional is not None:
                seen[name] = typed(node.additional, item)
        return {**seen, **_identity(value)} if resource else seen
    if isinstance(value, list):
        return [typed(node.items, item, resource=node.items.embedded) for item in value] if node.items else []
    if isinstance(value, str) and (parse := _PARSERS.get(node.schema.get("format", ""))) is not None:
        return parse(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return {"number": float, "integer": int}.get(node.type, type(value))(value)


def _identity(resource: Mapping[str, Any]) -> dict[str, Any]:
    metadata = resource.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    return {
        **{name: resource[name] for name in ("apiVersion", "kind") if name in resource},
        "metadata": {name: metadata[name] for name in ("name", "generateName") if name in metadata},
    }
