"""The chart, rendered by the real Helm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import render_manifests

Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def maximal() -> str:
    """Every value set to something else than its default."""
    return f"--values={Path(__file__).parent / 'maximal-values.yaml'}"


@pytest.fixture(scope="session")
def render() -> Callable[..., dict[tuple[str, str], Manifest]]:
    """Objects by kind and name, without those of `helm test`."""

    def render(*arguments: str) -> dict[tuple[str, str], Manifest]:
        objects = render_manifests.template("--skip-tests", *arguments)
        return {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}

    return render
