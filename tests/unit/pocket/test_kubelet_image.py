"""trireme.pocket.kubelet.image: well-formed image references."""

from __future__ import annotations

import pytest
from trireme.pocket.kubelet.image import is_reference


@pytest.mark.parametrize(
    "text",
    [
        "busybox",
        "python:3.11-slim",
        "registry.example.com:5000/team/my_image/sub-name:v1.2",
        "localhost/x",
        "[::1]:5000/x",
        f"ghcr.io/a/b@sha256:{'0' * 64}",
        f"a/b:tag@sha256:{'f' * 64}",
    ],
)
def test_well_formed(text: str) -> None:
    assert is_reference(text)


@pytest.mark.parametrize(
    "text", ["", "Upper", "a b", "a:", ":tag", "a//b", "a/", "a@sha256:123", "https://a/b", "a:tag:tag", "a\n"]
)
def test_malformed(text: str) -> None:
    assert not is_reference(text)
