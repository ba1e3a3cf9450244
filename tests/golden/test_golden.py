"""The generated files are what their generator makes: CRD, schemas, reference, and every example's manifests."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from support.stored import causes
from trireme.spec.documents import load

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "manifests/examples").glob("*.yaml"))


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> dict[Path, str]:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return dict(runpy.run_path(str(ROOT / "tools/generate.py"))["files"]())


def test_every_generated_file_is_fresh(generated: dict[Path, str]) -> None:
    stale = [str(path) for path, text in generated.items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert stale == [], "run tools/generate.py"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_api_server_takes_every_example(path: Path) -> None:
    (job,) = (each for each in load(path.read_text(encoding="utf-8")) if each["kind"] == "TrainingJob")
    assert causes(job) == []


def test_every_golden_file_has_its_example() -> None:
    assert {path.name for path in (ROOT / "tests/golden").glob("*.yaml")} == {path.name for path in EXAMPLES}
