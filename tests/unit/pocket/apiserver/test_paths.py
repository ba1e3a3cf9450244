from __future__ import annotations

import pytest
from trireme.pocket.apiserver.paths import Target, parse


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1", Target("", "v1")),
        ("/api/v1/pods", Target("", "v1", "pods")),
        ("/api/v1/namespaces", Target("", "v1", "namespaces")),
        ("/api/v1/namespaces/a", Target("", "v1", "namespaces", None, "a")),
        ("/api/v1/namespaces/a/status", Target("", "v1", "namespaces", None, "a", "status")),
        ("/api/v1/namespaces/a/pods/b/log", Target("", "v1", "pods", "a", "b", "log")),
        ("/apis/g.io/v1/namespaces/a/things", Target("g.io", "v1", "things", "a")),
        ("/apis/g.io/v1/things/b", Target("g.io", "v1", "things", None, "b")),
        ("/apis/g.io", None),
        ("/api/v2/pods", None),
        ("/api/v1/namespaces/a/pods/b/log/more", None),
        ("/", None),
    ],
)
def test_parse(path: str, target: Target | None) -> None:
    assert parse(path) == target


@pytest.mark.parametrize(
    ("method", "name", "watch", "verb"),
    [
        ("GET", "", False, "list"), ("GET", "", True, "watch"), ("GET", "a", False, "get"),
        ("DELETE", "", False, "deletecollection"), ("DELETE", "a", False, "delete"), ("POST", "", False, "create"),
        ("PUT", "a", False, "update"), ("PATCH", "a", False, "patch"), ("TRACE", "a", False, None),
    ],
)  # fmt: skip
def test_verbs(method: str, name: str, watch: bool, verb: str | None) -> None:
    assert Target("", "v1", "pods", "ns", name).verb(method, watch=watch) == verb
