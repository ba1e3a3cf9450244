"""trireme.pocket.kubelet.environment: variables and command lines as the kubelet resolves them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from trireme.pocket.kubelet.environment import (
    ConfigurationError,
    PodFacts,
    Sources,
    command_line,
    expand,
    references,
    resolve,
)

CONTAINER = {
    "name": "main",
    "image": "busybox",
    "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}, "requests": {"cpu": "250m"}},
}
POD = {
    "metadata": {
        "name": "p",
        "namespace": "ns",
        "uid": "u-1",
        "labels": {"b": "2", "a": 'say "1"'},
        "annotations": {"x.dev/y": "z"},
    },
    "spec": {"nodeName": "pocket", "serviceAccountName": "default", "containers": [CONTAINER]},
}
FACTS = PodFacts(POD, pod_ip="127.64.0.2", host_ip="127.64.0.1", allocatable={"cpu": "8", "memory": "16Gi"})
SOURCES = Sources(
    config_maps={
        "settings": {"data": {"mode": "fast", "level": "3"}, "binaryData": {"raw": b64encode(b"bin").decode()}}
    },
    secrets={"login": {"data": {"token": b64encode(b"s3cret").decode()}}},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("plain", "plain", id="no reference"),
        pytest.param("$(A)/$(B)", "1/2", id="two references"),
        pytest.param("$(MISSING)", "$(MISSING)", id="an unknown name stays"),
        pytest.param("$$(A)", "$(A)", id="escaped"),
        pytest.param("$$$(A)", "$1", id="an escaped dollar, then a reference"),
        pytest.param("$A ${A} $", "$A ${A} $", id="shell syntax is not ours"),
        pytest.param("$(A", "$(A", id="unclosed"),
        pytest.param("$()", "$()", id="empty"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "3"}],
                     {"A": "1", "B": "1$(C)", "C": "3"}, id="only earlier variables are known"),
        pytest.param([{"name": "A"}], {"A": ""}, id="no value is an empty one"),
        pytest.param([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}], {"A": "2"}, id="the last one wins"),
    ],
)  # fmt: skip
def test_plain_values(env: list[dict[str, str]], expected: dict[str, str]) -> None:
    assert resolve({**CONTAINER, "env": env}, FACTS, SOURCES) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "p"),
        ({"fieldRef": {"fieldPath": "metadata.namespace"}}, "ns"),
        ({"fieldRef": {"fieldPath": "metadata.uid"}}, "u-1"),
        ({"fieldRef": {"fieldPath": "metadata.labels['b']"}}, "2"),
        ({"fieldRef": {"fieldPath": "metadata.labels['none']"}}, ""),
        ({"fieldRef": {"fieldPath": "metadata.annotations['x.dev/y']"}}, "z"),
        ({"fieldRef": {"fieldPath": "metadata.labels"}}, 'a="say \\"1\\""\nb="2"'),
        ({"fieldRef": {"fieldPath": "spec.nodeName"}}, "pocket"),
        ({"fieldRef": {"fieldPath": "spec.serviceAccountName"}}, "default"),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, "127.64.0.2"),
        ({"fieldRef": {"fieldPath": "status.hostIP"}}, "127.64.0.1"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "2"),
        ({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}, "1500"),
        ({"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}, "250"),
        ({"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}, "1024"),
        ({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi", "containerName": "main"}}, "1024"),
        ({"resourceFieldRef": {"resource": "limits.ephemeral-storage"}}, "0"),
        ({"configMapKeyRef": {"name": "settings", "key": "mode"}}, "fast"),
        ({"secretKeyRef": {"name": "login", "key": "token"}}, "s3cret"),
    ],
    ids=str,
)
def test_value_from(source: dict[str, Any], expected: str) -> None:
    container = {**CONTAINER, "env": [{"name": "A", "valueFrom": source}]}
    assert resolve(container, FACTS, SOURCES) == {"A": expected}


def test_a_container_without_a_limit_has_the_node_as_its_limit() -> None:
    env = [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]
    assert resolve({"name": "other", "env": env}, FACTS, SOURCES) == {"A": "8"}


def test_values_from_elsewhere_are_not_expanded() -> None:
    sources = Sources(config_maps={"c": {"data": {"k": "$(A)"}}})
    env = [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]
    assert resolve({**CONTAINER, "env": env}, FACTS, sources) == {"A": "1", "B": "$(A)"}


def test_env_from_comes_first_and_may_have_a_prefix() -> None:
    container = {
        **CONTAINER,
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"prefix": "S_", "secretRef": {"name": "login"}}],
        "env": [{"name": "mode", "value": "not $(mode)"}],
    }
    assert resolve(container, FACTS, SOURCES) == {
        "mode": "not fast",
        "level": "3",
        "raw": "bin",
        "S_token": "s3cret",
    }


@pytest.mark.parametrize(
    "container",
    [
        {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}}}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "none", "optional": True}}}]},
        {"envFrom": [{"secretRef": {"name": "none", "optional": True}}]},
    ],
    ids=["absent ConfigMap", "absent key", "absent Secret in envFrom"],
)
def test_what_is_optional_may_be_absent(container: dict[str, Any]) -> None:
    assert resolve({**CONTAINER, **container}, FACTS, SOURCES) == {}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}}]},
         'configmap "none" not found'),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "k"}}}]},
         "couldn't find key k in Secret ns/login"),
        ({"envFrom": [{"secretRef": {"name": "none"}}]}, 'secret "none" not found'),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.colour"}}}]},
         "unsupported fieldPath: spec.colour"),
        ({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "containerName": "x"}}}]},
         "container x not found"),
    ],
    ids=["absent ConfigMap", "absent key", "absent Secret in envFrom", "unknown field", "unknown container"],
)  # fmt: skip
def test_what_is_needed_must_be_there(container: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve({**CONTAINER, **container}, FACTS, SOURCES)
    assert str(caught.value) == message


def test_command_line() -> None:
    container = {"command": ["sh", "-c", "echo $(A) $HOME"], "args": ["$(A)", "$(B)"]}
    assert command_line(container, {"A": "1"}) == ["sh", "-c", "echo 1 $HOME", "1", "$(B)"]


def test_references() -> None:
    pod = {
        "spec": {
            "initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "c1"}}]}],
            "containers": [
                {"name": "a", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}]},
                {"name": "b", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c2", "key": "k"}}}]},
            ],
            "volumes": [
                {"name": "v1", "configMap": {"name": "c3"}},
                {"name": "v2", "secret": {"secretName": "s2"}},
                {"name": "v3", "projected": {"sources": [{"secret": {"name": "s3"}}, {"configMap": {"name": "c4"}}]}},
                {"name": "v4", "emptyDir": {}},
            ],
        }
    }
    assert references(pod) == ({"c1", "c2", "c3", "c4"}, {"s1", "s2", "s3"})
