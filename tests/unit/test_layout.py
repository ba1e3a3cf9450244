"""What the layout of the repository must never become."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_folder_operator_is_no_package() -> None:
    """It would shadow the standard library's `operator` for whoever starts Python in the checkout."""
    where = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.__file__)"],
        cwd=ROOT, env={}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert not where.stdout.startswith(str(ROOT / "operator"))
    assert not (ROOT / "operator/__init__.py").exists()
