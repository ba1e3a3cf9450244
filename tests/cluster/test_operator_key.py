"""The operator's key file: read, made, or refused with a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from trireme.controller import key


def test_a_key_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "below" / "operator.key"
    made = key.load(path)
    assert len(made) == 32
    assert key.load(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["operator.key"]


def test_of_two_who_make_it_at_once_both_have_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "operator.key"
    link = os.link

    def other_first(source: Path, target: Path) -> None:
        target.write_bytes(b"o" * 32)
        link(source, target)

    monkeypatch.setattr(os, "link", other_first)
    assert key.load(path) == b"o" * 32
    assert os.listdir(tmp_path) == ["operator.key"]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(lambda path: path.write_bytes(b"short"), "has 5 bytes, at least 32 are needed", id="short"),
        pytest.param(lambda path: path.mkdir(), "cannot be read: Is a directory", id="a folder"),
        pytest.param(lambda path: path.symlink_to("nowhere/at/all"), "cannot be created", id="dangling link"),
    ],
)
def test_a_key_that_cannot_be_used(tmp_path: Path, prepare: object, message: str) -> None:
    path = tmp_path / "operator.key"
    prepare(path)  # type: ignore[operator]
    with pytest.raises(key.BadKey, match=message):
        key.load(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(key.BadKey, match=r"file/operator\.key cannot be read: Not a directory"):
        key.load(tmp_path / "file" / "operator.key")
