"""Reads a CEL expression into a tree, for what must be known of a rule before it ever runs: the fields it names and
what it may cost. Evaluation is the library's; this reader accepts what the library has accepted already.

Grammar: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<literal>[rRbB]{0,2}(?:\"{3}(?:.|\n)*?\"{3}|'{3}(?:.|\n)*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
        | 0x[0-9a-fA-F]+u? | \d+(?:\.\d+)?(?:[eE][-+]?\d+)?u? | \.\d+(?:[eE][-+]?\d+)?)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<symbol>\|\||&&|[<>=!]=|[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_BINDING: Final = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})
_WORDS: Final = frozenset({"true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Expression:
    """A node: `name` is the identifier, field, function or operator; `parts` are operands, the receiver first."""

    kind: Literal["literal", "name", "select", "index", "call", "method", "operator", "list", "map"]
    name: str = ""
    parts: tuple[Expression, ...] = ()


def parse(text: str) -> Expression:
    """The tree of an expression. Raises ValueError where it is none."""
    reader = _Reader(_tokens(text))
    tree = reader.ternary()
    if reader.peek():
        raise ValueError(f"unexpected {reader.peek()!r} in {text!r}")
    return tree


def bound_names(tree: Expression) -> frozenset[str]:
    """The variables that the macros in an expression introduce."""
    own = {tree.parts[1].name} if is_macro(tree) else set()
    return frozenset(own).union(*map(bound_names, tree.parts))


def is_macro(tree: Expression) -> bool:
    """Whether an expression iterates: `list.all(x, ...)` and its like."""
    return tree.kind == "method" and tree.name in _MACROS and len(tree.parts) in (3, 4)


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"cannot read {text[at:]!r}")
        if match.lastgroup != "space":
            found.append(match[0])
        at = match.end()
    return found


class _Reader:
    """Recursive descent, with binding powers for the binary operators."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def ternary(self) -> Expression:
        condition = self._binary(1)
        if not self._accept("?"):
            return condition
        chosen = self.ternary()
        self._expect(":")
        return Expression("operator", "?:", (condition, chosen, self.ternary()))

    def _binary(self, weakest: int) -> Expression:
        left = self._unary()
        while _BINDING.get(self.peek(), 0) >= weakest:
            operator = self._next()
            left = Expression("operator", operator, (left, self._binary(_BINDING[operator] + 1)))
        return left

    def _unary(self) -> Expression:
        if self.peek() in ("!", "-"):
            return Expression("operator", self._next(), (self._unary(),))
        return self._member(self._primary())

    def _member(self, target: Expression) -> Expression:
        while True:
            if self._accept("."):
                name = self._next()
                if self._accept("("):
                    target = Expression("method", name, (target, *self._until(")")))
                else:
                    target = Expression("select", name, (target,))
            elif self._accept("["):
                target = Expression("index", "", (target, *self._until("]")))
            else:
                return target

    def _primary(self) -> Expression:
        token = self._next()
        if token == "(":
            inner = self.ternary()
            self._expect(")")
            return inner
        if token == "[":
            return Expression("list", "", self._until("]"))
        if token == "{":
            return Expression("map", "", self._until("}"))
        if not (token[0].isalpha() or token[0] == "_") or token[-1] in "'\"" or token in _WORDS:
            return Expression("literal", token)
        if self._accept("("):
            return Expression("call", token, self._until(")"))
        return Expression("name", token)

    def _until(self, end: str) -> tuple[Expression, ...]:
        parts: list[Expression] = []
        while not self._accept(end):
            parts.append(self.ternary())
            if self.peek() != end and not self._accept(":"):
                self._expect(",")
        return tuple(parts)

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise ValueError("unexpected end of the expression")
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self._at += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise ValueError(f"expected {token!r}, found {self.peek()!r}")
