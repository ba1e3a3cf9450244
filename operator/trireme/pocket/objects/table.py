"""The Table that the API server renders for `kubectl get`: columns, and one row of cells for each object.

A layout is made once for a kind, from a CRD's additionalPrinterColumns or from `printers` for built-in kinds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from trireme.pocket.objects import jsonpath
from trireme.pocket.objects.ages import age

Include: TypeAlias = Literal["None", "Metadata", "Object"]
Cells: TypeAlias = Callable[[Mapping[str, Any], datetime], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column; priority above 0 shows with `-o wide` only."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """How the objects of one kind become rows: `cells` gives one value for each column."""

    columns: tuple[Column, ...]
    cells: Cells


NAME: Final = Column("Name", format="name", description="Name must be unique within a namespace.")
AGE: Final = Column("Age", description="How long ago the object was created.")


def generic(obj: Mapping[str, Any], now: datetime) -> tuple[str, str]:
    """The cells of a kind of which nothing is known."""
    return obj["metadata"]["name"], age(obj["metadata"].get("creationTimestamp"), now)


GENERIC: Final = Layout((NAME, AGE), generic)


def custom(columns: Sequence[Mapping[str, Any]]) -> Layout:
    """The layout of a CRD version's additionalPrinterColumns; without any, name and age."""
    if not columns:
        columns = [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]
    paths = [(jsonpath.compile(column["jsonPath"]), column["type"]) for column in columns]
    return Layout(
        columns=(
            NAME,
            *(
                Column(
                    column["name"],
                    column["type"],
                    column.get("format", ""),
                    column.get("description", ""),
                    column.get("priority", 0),
                )
                for column in columns
            ),
        ),
        cells=lambda obj, now: [obj["metadata"]["name"], *(_cell(path(obj), kind, now) for path, kind in paths)],
    )


def table(
    layout: Layout,
    objects: Iterable[Mapping[str, Any]],
    now: datetime,
    *,
    include: Include = "Metadata",
    header: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A meta.k8s.io/v1 Table; `header` is left out of the later events of a watch, `metadata` is the list's."""
    columns = [
        {"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority}
        for c in layout.columns
    ]
    rows = [{"cells": list(layout.cells(obj, now)), **_carried(obj, include)} for obj in objects]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(metadata or {}),
        "columnDefinitions": columns if header else None,
        "rows": rows,
    }


def partial(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The PartialObjectMetadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _carried(obj: Mapping[str, Any], include: Include) -> dict[str, Any]:
    if include == "None":
        return {}
    return {"object": obj if include == "Object" else partial(obj)}


def _cell(found: list[Any], kind: str, now: datetime) -> Any:
    if not found or found[0] is None:
        return None
    value = found[0]
    match kind:
        case "date":
            return age(value, now) if isinstance(value, str) else "<invalid>"
        case "integer":
            return int(value) if _is_number(value) else None
        case "number":
            return float(value) if _is_number(value) else None
        case "boolean":
            return value if isinstance(value, bool) else None
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
