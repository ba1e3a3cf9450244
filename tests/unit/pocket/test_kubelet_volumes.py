"""trireme.pocket.kubelet.volumes: what lies in a pod's volumes."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from trireme.pocket.kubelet.environment import ConfigurationError, PodFacts, Sources
from trireme.pocket.kubelet.volumes import File, files

POD = {"metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "1"}}, "spec": {"containers": []}}
FACTS = PodFacts(POD, "127.64.0.2", "127.64.0.1", {})
SOURCES = Sources(
    config_maps={"c": {"data": {"a.txt": "A", "b.txt": "B"}}},
    secrets={"s": {"data": {"token": b64encode(b"T").decode()}}},
)


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        pytest.param({"emptyDir": {}}, [], id="emptyDir"),
        pytest.param({"configMap": {"name": "c"}}, [File("a.txt", b"A", 0o644), File("b.txt", b"B", 0o644)],
                     id="configMap"),
        pytest.param({"configMap": {"name": "c", "defaultMode": 0o400,
                                    "items": [{"key": "b.txt", "path": "x/y"},
                                              {"key": "a.txt", "path": "z", "mode": 0o600}]}},
                     [File("x/y", b"B", 0o400), File("z", b"A", 0o600)], id="configMap with items and modes"),
        pytest.param({"secret": {"secretName": "s"}}, [File("token", b"T", 0o644)], id="secret"),
        pytest.param({"secret": {"secretName": "none", "optional": True}}, [], id="optional"),
        pytest.param({"configMap": {"name": "c", "optional": True, "items": [{"key": "none", "path": "x"}]}}, [],
                     id="optional key"),
        pytest.param({"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
                                                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                     [File("name", b"p", 0o644), File("labels", b'a="1"', 0o644)], id="downwardAPI"),
        pytest.param({"projected": {"defaultMode": 0o440, "sources": [{"configMap": {"name": "c"}},
                                                                      {"secret": {"name": "s"}}]}},
                     [File("a.txt", b"A", 0o440), File("b.txt", b"B", 0o440), File("token", b"T", 0o440)],
                     id="projected"),
    ],
)  # fmt: skip
def test_files(volume: dict[str, Any], expected: list[File]) -> None:
    assert files({"name": "v", **volume}, FACTS, SOURCES) == expected


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        pytest.param({"configMap": {"name": "none"}}, 'configmap "none" not found', id="absent ConfigMap"),
        pytest.param({"secret": {"secretName": "none"}}, 'secret "none" not found', id="absent Secret"),
        pytest.param({"secret": {"secretName": "s", "items": [{"key": "none", "path": "x"}]}},
                     "references non-existent secret key: none", id="absent key"),
        pytest.param({"configMap": {"name": "c", "items": [{"key": "a.txt", "path": "../x"}]}},
                     "invalid path in a volume: ../x", id="a path out of the volume"),
    ],
)  # fmt: skip
def test_what_is_needed_must_be_there(volume: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        files({"name": "v", **volume}, FACTS, SOURCES)
    assert str(caught.value) == message
