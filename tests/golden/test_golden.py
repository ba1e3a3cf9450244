"""The generated files are what their generator makes: CRD, schemas, reference, and every example's manifests."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> dict[Path, str]:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return dict(runpy.run_path(str(ROOT / "tools/generate.py"))["files"]())


def test_every_generated_file_is_fresh(generated: dict[Path, str]) -> None:
    stale = [str(path) for path, text in generated.items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert stale == [], "run tools/generate.py"


def test_every_golden_file_has_its_example() -> None:
    examples = {path.name for path in (ROOT / "manifests/examples").glob("*.yaml")}
    assert {path.name for path in (ROOT / "tests/golden").glob("*.yaml")} == examples
