"""Label and field selectors as text, compiled once into matchers.

A matcher is called for every object of a list and every event of a watch, so all parsing happens up front.
Which fields of a kind may be selected is the registry's business: this module selects by any path it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from trireme.pocket.objects import names

Labels: TypeAlias = Mapping[str, str]
LabelMatcher: TypeAlias = Callable[[Labels], bool]
FieldMatcher: TypeAlias = Callable[[Mapping[str, Any]], bool]

_TOKEN: Final = re.compile(r"\s*(?:(?P<op>==|!=|[=!<>(),])|(?P<word>[^\s=!<>(),]+))")

_TERM: Final = re.compile(r"(?:\\.|[^\\,])+")
_OPERATOR: Final = re.compile(r"([^=!]*)(?:(!=|==|=)(.*))?", re.DOTALL)


def parse_labels(text: str) -> LabelMatcher:
    """Compiles the equality and set grammar: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`. Raises ValueError."""
    tests = list(_Labels(text).requirements())
    if not tests:
        return lambda labels: True
    if len(tests) == 1:
        return tests[0]
    return lambda labels: all(test(labels) for test in tests)


def parse_fields(text: str) -> FieldMatcher:
    """Compiles `path=value,path!=value`; an absent field counts as the empty string. Raises ValueError."""
    tests = [(tuple(path.split(".")), value, wanted) for path, value, wanted in field_terms(text)]
    if not tests:
        return lambda obj: True
    return lambda obj: all((_field(obj, path) == value) is wanted for path, value, wanted in tests)


def field_terms(text: str) -> list[tuple[str, str, bool]]:
    """The terms of a field selector as (path, value, equal?), for checks of which paths a kind supports."""
    return [_field_term(term) for term in _TERM.findall(text) if term.strip()]


class _Labels:
    """A recursive-descent reader of one selector."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0

    def requirements(self) -> Iterator[LabelMatcher]:
        if self._peek() is None:
            return
        while True:
            yield self._requirement()
            if self._peek() is None:
                return
            self._expect(",")

    def _requirement(self) -> LabelMatcher:
        if self._accept("!"):
            key = self._key()
            return lambda labels: key not in labels
        key = self._key()
        operator = self._peek()
        if operator in (None, ","):
            return lambda labels: key in labels
        self._at += 1
        match operator:
            case "=" | "==":
                value = self._value(key)
                return lambda labels: labels.get(key) == value
            case "!=":
                value = self._value(key)
                return lambda labels: labels.get(key) != value
            case "in":
                values = self._values(key)
                return lambda labels: labels.get(key) in values
            case "notin":
                values = self._values(key)
                return lambda labels: labels.get(key) not in values
            case "<" | ">":
                bound, less = self._integer(key), operator == "<"
                return lambda labels: _ordered(labels.get(key), bound, less)
        raise self._error(f"found '{operator}', expected: in, notin, =, ==, !=, >, <")

    def _key(self) -> str:
        key = self._next("identifier")
        if problem := names.label_key(key):
            raise ValueError(f'unable to parse requirement: key: Invalid value: "{key}": {problem}')
        return key

    def _value(self, key: str) -> str:
        token = self._peek()
        if token in (None, ","):
            return ""
        return self._checked(key, self._next("identifier"))

    def _values(self, key: str) -> frozenset[str]:
        self._expect("(")
        values = set()
        while True:
            token = self._peek()
            values.add("" if token in (",", ")") else self._checked(key, self._next("identifier")))
            if self._accept(")"):
                return frozenset(values)
            self._expect(",")

    def _integer(self, key: str) -> int:
        value = self._next("integer")
        if not re.fullmatch(r"-?\d+", value):
            raise ValueError(
                f"values[0][{key}]: Invalid value: \"{value}\": for 'Gt', 'Lt' the value must be an integer"
            )
        return int(value)

    def _checked(self, key: str, value: str) -> str:
        if problem := names.label_value(value):
            raise ValueError(f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": {problem}')
        return value

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self, what: str) -> str:
        token = self._peek()
        if token is None or _is_operator(token):
            raise self._error(f"found '{token or ''}', expected: {what}")
        self._at += 1
        return token

    def _accept(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._at += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise self._error(f"found '{self._peek() or ''}', expected: '{token}'")

    def _error(self, problem: str) -> ValueError:
        return ValueError(f"unable to parse requirement: {problem} in {self._text!r}")


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while match := _TOKEN.match(text, at):
        found.append(match["op"] or match["word"])
        at = match.end()
    return found


def _is_operator(token: str) -> bool:
    return token in {"==", "!=", "=", "!", "<", ">", "(", ")", ","}


def _ordered(value: str | None, bound: int, less: bool) -> bool:
    if value is None or not re.fullmatch(r"-?\d+", value):
        return False
    return int(value) < bound if less else int(value) > bound


def _field_term(term: str) -> tuple[str, str, bool]:
    path, operator, value = _OPERATOR.match(term).groups()  # type: ignore[union-attr]  # it matches any text
    if operator is None:
        raise ValueError(f"invalid selector: '{term}'; can't understand '{term}'")
    if not re.fullmatch(r"(?:\\[\\,=]|[^\\,=])*", value):
        raise ValueError(f"invalid field selector: '{value}' holds a character that must be escaped")
    return path.strip(), re.sub(r"\\(.)", r"\1", value), operator != "!="


def _field(obj: Mapping[str, Any], path: tuple[str, ...]) -> str:
    node: Any = obj
    for step in path:
        if not isinstance(node, Mapping) or (node := node.get(step)) is None:
            return ""
    if isinstance(node, bool):
        return "true" if node else "false"
    return str(node)
