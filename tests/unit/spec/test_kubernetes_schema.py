"""Structure and types of Kubernetes objects, checked with the generated definitions."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from trireme.spec.kubernetes_schema import check, definitions, is_quantity

CASES: dict[str, tuple[str, Any, list[str]]] = {
    "a good pod": ("Pod", {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a"}]}}, []),
    "null fields are absent": ("Pod", {"metadata": None, "spec": {"containers": [{"name": "a", "env": None}]}}, []),
    "a null that is required": ("EnvVar", {"name": None}, ["x.name: is required"]),
    "a null in a list": ("Container", {"name": "a", "args": [None]}, ["x.args[0]: must be a string, got null"]),
    "unknown field": ("EnvVar", {"name": "a", "val": "b"}, ["x.val: unknown field; did you mean `value`?"]),
    "wrong case": ("Container", {"name": "a", "Image": "b"}, ["x.Image: unknown field; did you mean `image`?"]),
    "unlike any field": ("EnvVar", {"name": "a", "zzz": "b"}, ["x.zzz: unknown field"]),
    "number for string": ("EnvVar", {"name": "a", "value": 1}, ["x.value: must be a string, got 1; put it in quotes"]),
    "string for number": (
        "ContainerPort",
        {"containerPort": "80"},
        ['x.containerPort: must be a whole number, got the string "80"'],
    ),
    "truth for number": (
        "ContainerPort",
        {"containerPort": True},
        ["x.containerPort: must be a whole number, got true"],
    ),
    "word for truth": (
        "Container",
        {"name": "a", "tty": "yes"},
        ['x.tty: must be true or false, got the string "yes"'],
    ),
    "port out of range": ("ContainerPort", {"containerPort": 0}, ["x.containerPort: must be at least 1, got 0"]),
    "port too high": ("ContainerPort", {"containerPort": 65536}, ["x.containerPort: must be at most 65535, got 65536"]),
    "negative user": (
        "SecurityContext",
        {"runAsUser": -1},
        ["x.runAsUser: must be at least 0, got -1"],
    ),
    "a file mode in decimal": (
        "KeyToPath",
        {"key": "a", "path": "b", "mode": 644},
        ["x.mode: must be at most 511, got 644"],
    ),
    "beyond 64 bits": (
        "SecurityContext",
        {"runAsUser": 2**63},
        ["x.runAsUser: must be a whole number, got a huge number"],
    ),
    "not one of": (
        "Container",
        {"name": "a", "imagePullPolicy": "ifNotPresent"},
        [
            'x.imagePullPolicy: must be Always or IfNotPresent or Never, got the string "ifNotPresent"; '
            "did you mean IfNotPresent?"
        ],
    ),
    "int or string: a list": (
        "TCPSocketAction",
        {"port": []},
        ["x.port: must be a whole number or a string, got a list"],
    ),
    "a bad quantity": (
        "ResourceRequirements",
        {"limits": {"memory": "1 GB", "cpu": -1}},
        [
            'x.limits[memory]: must be a quantity that is not negative, such as 500m, 2 or 16Gi, got the string "1 GB"',
            "x.limits[cpu]: must be a quantity that is not negative, such as 500m, 2 or 16Gi, got -1",
        ],
    ),
    "a map of strings": (
        "ObjectMeta",
        {"labels": {"a": 1}},
        ["x.labels[a]: must be a string, got 1; put it in quotes"],
    ),
    "a key that is no string": ("ObjectMeta", {"labels": {5: "a"}}, ["x.labels: keys must be strings, got 5"]),
    "any depth": (
        "PodTemplateSpec",
        {"spec": {"containers": [{"name": "a"}, {"name": "b", "env": [{"name": "c", "valueFrom": {"x": 1}}]}]}},
        ["x.spec.containers[1].env[0].valueFrom.x: unknown field"],
    ),
}


@pytest.mark.parametrize(("kind", "value", "expected"), CASES.values(), ids=CASES.keys())
def test_every_problem_is_named(kind: str, value: Any, expected: list[str]) -> None:
    assert [str(problem) for problem in check(kind, value, "x")] == expected


@pytest.mark.parametrize(
    "text", ["0", "1", "1.", ".5", "1.5", "+1", "500m", "2k", "16Gi", "1e3", "1E-3", "5E", 0, 7, 0.5]
)
def test_quantities(text: str | float) -> None:
    assert is_quantity(text)


@pytest.mark.parametrize(
    "text", ["", "-1", "1 Gi", "Gi", "1gi", "1KI", ".", "1e", "1.2.3", "1Gi\n", "٣", -0.5, float("nan"), float("inf")]
)
def test_what_is_no_quantity(text: str | float) -> None:
    assert not is_quantity(text)


def test_the_definitions_are_json_schema_and_whole() -> None:
    jsonschema.Draft202012Validator.check_schema({"definitions": dict(definitions())})
    references = {part.split('"')[0] for part in repr(definitions()).replace("'", '"').split("#/definitions/")[1:]}
    assert references <= set(definitions())
    assert set(definitions()) >= {"Pod", "PodTemplateSpec", "Service", "Secret", "ConfigMap"}
