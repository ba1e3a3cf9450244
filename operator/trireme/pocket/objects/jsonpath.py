"""The JSONPath of printer columns and scale subresources: fields, indexes, wildcards and filters on one field.

Compiled once; a compiled path maps an object to the list of values it finds, empty when there are none.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

Path: TypeAlias = Callable[[Any], list[Any]]
_Step: TypeAlias = Callable[[Any], Iterator[Any]]

_STEP: Final = re.compile(
    r"""
      \.?\[\?\(\s*@(?P<left>(?:\.[-\w]+)+)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>"[^"]*"|'[^']*'|[-\w.]+))?\s*\)\]
    | \.?\[\s*(?P<index>-?\d+)\s*\]
    | \.?\[\s*(?P<quoted>'[^']*'|"[^"]*")\s*\]
    | \.?\[\s*(?P<every>\*)\s*\]
    | \.(?P<star>\*)
    | \.(?P<field>(?:[-\w$/]|\\.)+)
    """,
    re.VERBOSE,
)
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compile(path: str) -> Path:
    """Compiles `.spec.mode`, `.status.conditions[?(@.type=="Ready")].status` and their like. Raises ValueError."""
    text = path.removeprefix("{").removesuffix("}").removeprefix("$")
    if text and text[0] not in ".[":
        text = f".{text}"
    steps, at = [], 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"invalid JSONPath {path!r}: cannot read {text[at:]!r}")
        steps.append(_step(match))
        at = match.end()
    return lambda obj: _walk(obj, steps)


def _walk(obj: Any, steps: list[_Step]) -> list[Any]:
    found = [obj]
    for step in steps:
        found = [value for item in found for value in step(item)]
    return found


def _step(match: re.Match[str]) -> _Step:
    if match["left"] is not None:
        return _filter(match["left"], match["op"], match["right"])
    if match["index"] is not None:
        return _index(int(match["index"]))
    if match["every"] or match["star"]:
        return _every
    return _field(match["quoted"][1:-1] if match["quoted"] else re.sub(r"\\(.)", r"\1", match["field"]))


def _field(name: str) -> _Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, Mapping) and name in value:
            yield value[name]

    return step


def _index(at: int) -> _Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= at < len(value):
            yield value[at]

    return step


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, Mapping):
        yield from value.values()


def _filter(left: str, comparison: str | None, right: str | None) -> _Step:
    path = [_field(name) for name in left[1:].split(".")]
    compare = _COMPARISONS[comparison] if comparison else None
    wanted = _literal(right) if right is not None else None

    def accepts(item: Any) -> bool:
        found = _walk(item, path)
        if compare is None:
            return bool(found)
        return any(type(value) is type(wanted) and compare(value, wanted) for value in found)

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from filter(accepts, value)

    return step


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
