"""Writes `wire.json`: the protobuf field numbers of the shapes in `schemas.json`.

    python -m trireme.pocket.apiserver.builtin.generate_wire FILE... > wire.json

The inputs are the `generated.proto` and `types.go` files of kubernetes/api and kubernetes/apimachinery at release-1.36.
Names, types and nesting are those of the schemas; from here come the numbers, which messages are inlined in JSON, and
which fields are pointers in Go: of those a zero was meant, of the others it says that nothing was set.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trireme.pocket.apiserver.builtin.shapes import all_shapes

_MESSAGE = re.compile(r"^message (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (?:optional |repeated )?(map<[^>]*>|[\w.]+) (\w+) = (\d+);", re.MULTILINE)
_POINTER = re.compile(r"^\t\w+\s+\*(?:int32|int64|bool|string|intstr\.IntOrString)\s+`json:\"(\w+)", re.MULTILINE)


def numbers(protos: list[str]) -> dict[str, dict[str, Any]]:
    """For each shape with a message: field number -> name, or -> {"inline": message} where JSON has no such field."""
    messages = {name: fields for proto in protos for name, fields in _messages(proto)}
    found: dict[str, dict[str, Any]] = {}
    for name in all_shapes():
        if name in messages:
            _add(found, messages, name, set(all_shapes()[name].get("properties", ())))
    return dict(sorted(found.items()))


def _add(found: dict[str, Any], messages: dict[str, Any], name: str, properties: set[str]) -> None:
    fields: dict[str, Any] = {}
    for number, field, kind in messages[name]:
        if not properties or field in properties:
            fields[number] = field
        elif kind in messages:
            fields[number] = {"inline": kind}
            _add(found, messages, kind, properties)
        else:
            print(f"{name}.{field} = {number}: no such property", file=sys.stderr)
    found[name] = {**found.get(name, {}), **fields}


def _messages(proto: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    package = re.search(r"^package ([\w.]+);", proto, re.MULTILINE)
    if package is None:
        raise ValueError("a .proto file without a package")
    for name, body in _MESSAGE.findall(proto):
        fields = [(number, field, _absolute(kind, package[1])) for kind, field, number in _FIELD.findall(body)]
        yield _absolute(name, package[1]), fields


def _absolute(kind: str, package: str) -> str:
    """`k8s.io.api.core.v1` + `Pod` -> `io.k8s.api.core.v1.Pod`, the way in which OpenAPI names it."""
    full = kind[1:] if kind.startswith(".") else f"{package}.{kind}"
    return full.replace("k8s.io.", "io.k8s.", 1)


if __name__ == "__main__":
    texts = {path: Path(path).read_text(encoding="utf-8") for path in sys.argv[1:]}
    pointers = {name for path, text in texts.items() if path.endswith(".go") for name in _POINTER.findall(text)}
    fields = numbers([text for path, text in texts.items() if path.endswith(".proto")])
    json.dump({"pointers": sorted(pointers), "messages": fields}, sys.stdout, separators=(",", ":"))
    print()
