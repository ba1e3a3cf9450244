"""A user's file: YAML text to the objects in it, strictly, with the line of whatever is wrong.

YAML as Kubernetes reads it: JSON's types only (a date stays a string, 12:30 is no number), string keys, no duplicates,
and not more values than a request could hold, however few lines of anchors they hide behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from trireme.contract import names
from trireme.spec import words

TEXT_MAX = 3 * 1024 * 1024
"""Characters; the API server takes no bigger request."""
NODES_MAX = 100_000
"""Values of one document, aliases expanded."""
DEPTH_MAX = 100

_TAG = "tag:yaml.org,2002:"


class BadDocument(Exception):
    """The file cannot be read as Kubernetes objects. `line` counts from 1; None when the whole file is meant."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.message = message
        self.line = line


def load(text: str) -> list[dict[str, Any]]:
    """Every document of the text, at least one; other kinds than ours may stand beside a job. Raises BadDocument."""
    if len(text) > TEXT_MAX:
        raise BadDocument(f"the file has more than {TEXT_MAX} characters")
    _refuse_depth(text)
    try:
        documents = list(_documents(_Loader(text)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadDocument(f"not YAML: {error.problem or error.context}", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadDocument(f"not YAML: the character {chr(error.character)!r} is not allowed", line) from None
    if not documents:
        raise BadDocument("the file holds no document")
    return documents


def _documents(loader: _Loader) -> Iterator[dict[str, Any]]:
    while loader.check_node():
        node = loader.get_node()
        if node is not None and node.tag != _TAG + "null":
            yield _document(loader, node)


def _document(loader: _Loader, node: Node) -> dict[str, Any]:
    if not isinstance(node, MappingNode):
        raise BadDocument("a document must be a mapping: apiVersion, kind, metadata, spec", _line(node))
    _measure(node, {})
    found = {key.value: value for key, value in node.value}
    for key, ours in (("apiVersion", names.API_VERSION), ("kind", names.KIND)):
        value = found.get(key)
        if not isinstance(value, ScalarNode) or value.tag != _TAG + "str":
            raise BadDocument(f"{key} is missing; of a job it is {ours}", _line(value or node))
    version, kind = found["apiVersion"], found["kind"]
    if version.value.partition("/")[0] == names.GROUP and kind.value != names.KIND:
        raise BadDocument(f"kind must be {names.KIND}, got {words.describe(kind.value)}", _line(kind))
    if kind.value == names.KIND and version.value != names.API_VERSION:
        raise BadDocument(
            f"apiVersion must be {names.API_VERSION}, got {words.describe(version.value)}", _line(version)
        )
    document: dict[str, Any] = loader.construct_document(node)
    return document


def _measure(node: Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Values and levels of the tree below a node. What is anchored is measured once and counts wherever it is used."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = (NODES_MAX, 0)  # of a node that is still open: an alias to it would never end
    below: list[Node] = []
    if isinstance(node, MappingNode):
        _check_keys(node)
        below = [value for _, value in node.value]
    elif isinstance(node, SequenceNode):
        below = node.value
    measured = [_measure(child, known) for child in below]
    values = 1 + sum(size for size, _ in measured)
    levels = 1 + max((depth for _, depth in measured), default=0)
    if values > NODES_MAX:
        raise BadDocument(f"more than {NODES_MAX} values, aliases expanded", _line(node))
    if levels > DEPTH_MAX:
        raise BadDocument(f"nested more than {DEPTH_MAX} levels deep, aliases expanded", _line(node))
    known[id(node)] = (values, levels)
    return values, levels


def _check_keys(node: MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == _TAG + "merge":
            continue
        if not isinstance(key, ScalarNode) or key.tag != _TAG + "str":
            raise BadDocument("keys must be strings; put this one in quotes", _line(key))
        if key.value in lines:
            raise BadDocument(f"{words.shown(key.value)} is already set in line {lines[key.value]}", _line(key))
        lines[key.value] = _line(key)


def _refuse_depth(text: str) -> None:
    """PyYAML composes recursively, so depth is measured on the events first."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_MAX:
                raise BadDocument(f"nested more than {DEPTH_MAX} levels deep", _line(event))
    except yaml.YAMLError:
        return  # load says it, with the line


def _line(node: Node | yaml.Event) -> int:
    return int(node.start_mark.line) + 1 if node.start_mark else 0


class _Loader(yaml.SafeLoader):
    """JSON's types only: scalars resolve as in Kubernetes, tags beyond them are refused."""

    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
    }

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError) as error:  # of PyYAML's scalars: `!!int x`, a number of 5,000 digits
            raise BadDocument(f"not YAML: the value does not fit its type: {error}", _line(node)) from None


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+0123456789."),
):
    _first_characters = ["" if character == "\0" else character for character in _first]
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), _first_characters)
