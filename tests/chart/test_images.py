"""What the Dockerfiles copy is there, and their ignore files let it through: builders are not at hand everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from render_manifests import ROOT

DOCKERFILES = sorted((ROOT / "images").glob("*/Dockerfile"))


def copied(dockerfile: Path) -> list[str]:
    """Sources from the build context, which is the repository's root."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    return [source for line in lines for source in line.split()]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_context(dockerfile):
    rules = Path(f"{dockerfile}.dockerignore").read_text(encoding="utf-8").split()
    let_through = [rule[1:] for rule in rules if rule.startswith("!")]
    assert rules[0] == "*"
    assert sorted(copied(dockerfile)) == sorted(let_through)
    assert [source for source in let_through if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("image", ["operator", "worker"])
def test_ends_as_a_numbered_user_that_is_not_root(image):
    """By number, so that the kubelet can tell for runAsNonRoot."""
    dockerfile = ROOT / "images" / image / "Dockerfile"
    (*_, user) = re.findall(r"^USER (\S+)$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
