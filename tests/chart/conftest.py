"""The chart, rendered by the real Helm; what the operator serves to those who watch it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import render_manifests
from trireme.controller.metrics import Metrics

Manifest = dict[str, Any]
Objects = Mapping[tuple[str, str], Manifest]

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


@pytest.fixture(scope="session")
def served() -> set[str]:
    """Names of the operator's time series."""
    metrics = Metrics()
    metrics.watch_jobs(list, lambda: 0)
    return {family.name + end for family in metrics.registry.collect() for end in SUFFIXES[family.type]}


@pytest.fixture(scope="session")
def maximal() -> str:
    """Every value set to something else than its default."""
    return f"--values={Path(__file__).parent / 'maximal-values.yaml'}"


@pytest.fixture(scope="session")
def two_namespaces() -> str:
    return "--set=watchNamespaces={vision,speech}"


@pytest.fixture(scope="session")
def render() -> Callable[..., dict[tuple[str, str], Manifest]]:
    """Objects by kind and name, without those of `helm test`."""

    def render(*arguments: str) -> dict[tuple[str, str], Manifest]:
        objects = render_manifests.template("--skip-tests", *arguments)
        return {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}

    return render


@pytest.fixture(scope="session")
def default(render) -> Objects:
    return render()


@pytest.fixture(scope="session")
def rich(render, maximal) -> Objects:
    return render(maximal)


@pytest.fixture(scope="session")
def namespaced(render, two_namespaces) -> Objects:
    return render(two_namespaces)


@pytest.fixture(scope="session")
def tests() -> list[Manifest]:
    """The objects of `helm test`."""
    return render_manifests.template("--show-only=templates/tests/smoke.yaml")
