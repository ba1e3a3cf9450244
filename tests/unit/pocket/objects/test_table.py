from datetime import UTC, datetime

import pytest
from trireme.pocket.objects.table import GENERIC, custom, table

NOW = datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC)
COLUMNS = [
    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Why", "type": "string", "jsonPath": ".status.message", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
WIDGET = {
    "apiVersion": "g/v1",
    "kind": "Widget",
    "metadata": {"name": "tb", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"mode": "Fast"},
    "status": {"message": "why", "conditions": [{"type": "Ready", "status": "True"}]},
}


def test_custom_columns_as_recorded():
    drawn = table(custom(COLUMNS), [WIDGET], NOW, metadata={"resourceVersion": "7"})
    assert [(c["name"], c["type"], c["priority"]) for c in drawn.pop("columnDefinitions")] == [
        ("Name", "string", 0), ("Mode", "string", 0), ("Ready", "string", 0), ("Why", "string", 1), ("Age", "date", 0),
    ]  # fmt: skip
    assert drawn == {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "7"},
        "rows": [
            {
                "cells": ["tb", "Fast", "True", "why", "9s"],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": WIDGET["metadata"],
                },
            }
        ],
    }


def test_without_columns_a_custom_kind_has_name_and_age():
    drawn = table(custom([]), [WIDGET], NOW)
    assert [column["name"] for column in drawn["columnDefinitions"]] == ["Name", "Age"]
    assert drawn["rows"][0]["cells"] == ["tb", "9s"]


@pytest.mark.parametrize(
    ("include", "carried"), [("None", {}), ("Object", {"object": WIDGET})], ids=["nothing", "the object"]
)
def test_rows_carry_what_is_asked_for(include, carried):
    assert table(GENERIC, [WIDGET], NOW, include=include)["rows"] == [{"cells": ["tb", "9s"], **carried}]


def test_later_events_carry_no_header():
    assert table(GENERIC, [WIDGET], NOW, header=False)["columnDefinitions"] is None


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("string", "x", "x"),
        ("string", 3, "3"),
        ("string", True, "true"),
        ("string", {"a": [1]}, '{"a":[1]}'),
        ("string", None, None),
        ("integer", 3, 3),
        ("integer", 3.7, 3),
        ("integer", "3", None),
        ("integer", True, None),
        ("number", 2, 2.0),
        ("boolean", True, True),
        ("boolean", "true", None),
        ("date", "2026-01-01T00:00:00Z", "9s"),
        ("date", "never", "<invalid>"),
        ("date", 3, "<invalid>"),
    ],
)
def test_cells(kind, value, cell):
    drawn = custom([{"name": "V", "type": kind, "jsonPath": ".v"}])
    assert drawn.cells({"metadata": {"name": "n"}, "v": value}, NOW) == ["n", cell]
