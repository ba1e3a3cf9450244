"""The rules of `x-kubernetes-validations`, compiled with the `common-expression-language` library.

What the library lacks of Kubernetes' functions is added here where it is a line; an expression that needs any other
function is refused when it is compiled, so that no rule is ever silently skipped. ADR 0004 tells the choice.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import cel
from cel.stdlib import EXTENSIONS

from trireme.pocket.objects.cel_syntax import bound_names, parse

_TYPE_NAMES: Final = frozenset({
    "bool", "bytes", "double", "duration", "dyn", "int", "list", "map", "null_type", "string", "timestamp", "type",
    "uint", "optional", "sets",
})  # fmt: skip
_BUILT_IN: Final = frozenset({
    "bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek",
    "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "hasValue",
    "int", "matches", "none", "of", "or", "orValue", "size", "startsWith", "string", "timestamp", "type", "uint",
    "value",
})  # fmt: skip


class RuleError(ValueError):
    """An expression that cannot be compiled here, or that failed while it was evaluated."""


def _last_index_of(value: Any, part: Any) -> int:
    if isinstance(value, str):
        return value.rfind(part)
    return next((at for at in reversed(range(len(value))) if value[at] == part), -1)


def _index_of(value: Any, part: Any, start: int = 0) -> int:
    if isinstance(value, str):
        return value.find(part, start)
    return next((at for at, item in enumerate(value) if item == part), -1)


def _find(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    return match[0] if match else ""


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: call for name, call in EXTENSIONS["strings"].items() if name not in ("strings.quote", "reverse")},
    **EXTENSIONS["sets"],
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "isIP": _is_ip,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "isSorted": lambda items: all(a <= b for a, b in pairwise(items)),
    "sum": lambda items: sum(items),
    "min": lambda items: min(items),
    "max": lambda items: max(items),
    "find": _find,
    "findAll": lambda text, pattern, limit=None: [match[0] for match in re.finditer(pattern, text)][:limit],
}
_KNOWN: Final = _BUILT_IN | {name.removeprefix("sets.") for name in _FUNCTIONS}


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `x-kubernetes-validations`, ready to run."""

    expression: str
    program: cel.Program
    message: str
    message_program: cel.Program | None
    reason: str
    field_path: str
    uses_old: bool
    optional_old: bool


def compile_expression(expression: str) -> cel.Program:
    """A program; raises RuleError for a syntax error and for a name or function that nobody knows here."""
    try:
        program = cel.compile(expression)
        bound = bound_names(parse(expression))
    except ValueError as error:
        raise RuleError(f"compilation failed: {error}") from error
    functions = {name for name in program.functions() if re.fullmatch(r"\w+", name)}
    names = set(program.variables()) - bound - _TYPE_NAMES - {"self", "oldSelf"}
    unknown = sorted((functions - _KNOWN) | names)
    if unknown:
        raise RuleError(
            f"compilation failed: undeclared reference to {', '.join(map(repr, unknown))} (in container '')"
        )
    return program


def compile_rule(rule: Mapping[str, Any]) -> Rule:
    """Compiles a rule and its messageExpression; raises RuleError for what cannot be evaluated here."""
    expression, told = rule["rule"], rule.get("messageExpression")
    program = compile_expression(expression)
    return Rule(
        expression=expression,
        program=program,
        message=rule.get("message", "").strip(),
        message_program=compile_expression(told) if told else None,
        reason=rule.get("reason", "FieldValueInvalid"),
        field_path=rule.get("fieldPath", ""),
        uses_old="oldSelf" in program.variables(),
        optional_old=bool(rule.get("optionalOldSelf")),
    )


def evaluate(program: cel.Program, variables: Mapping[str, Any]) -> Any:
    """Runs a program; raises RuleError where CEL knows no answer (a missing key, a division by zero)."""
    try:
        return program.execute(cel.Context(dict(variables), dict(_FUNCTIONS)))
    except (RuntimeError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise RuleError(str(error)) from error


def some(value: Any) -> Any:
    """A CEL optional that holds a value."""
    return cel.OptionalValue.of(value)


def nothing() -> Any:
    """The empty CEL optional."""
    return cel.OptionalValue.none()
