"""trireme.pocket.kubelet.disk: a pod's folder, its volumes and what is read back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from trireme.pocket.kubelet.disk import PodFolder, host_path, read_limited, sub_path, write_volume
from trireme.pocket.kubelet.environment import ConfigurationError
from trireme.pocket.kubelet.volumes import File


def test_a_volume_has_its_files_and_modes(tmp_path: Path) -> None:
    write_volume(tmp_path / "v", [File("a", b"A", 0o400), File("b/c", b"C", 0o644)])
    found = {
        path.relative_to(tmp_path / "v").as_posix(): path for path in (tmp_path / "v").rglob("*") if path.is_file()
    }
    assert {name: (path.read_bytes(), path.stat().st_mode & 0o777) for name, path in found.items()} == {
        "a": (b"A", 0o400),
        "b/c": (b"C", 0o644),
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [("folder", ""), ("none", ""), ("folder", "Directory"), ("file", "File"), ("file", "FileOrCreate"),
     ("new", "FileOrCreate"), ("new/er", "DirectoryOrCreate")],
)  # fmt: skip
def test_a_host_path_that_is_right(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    host_path(tmp_path / name, kind)
    assert (tmp_path / name).exists() is (name != "none")


@pytest.mark.parametrize(
    ("name", "kind"), [("file", "Directory"), ("none", "File"), ("file", "Socket"), ("file", "Unheard")]
)
def test_a_host_path_that_is_wrong(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as caught:
        host_path(tmp_path / name, kind)
    assert str(caught.value) == f"hostPath type check failed: {tmp_path / name} is not a {kind}"


def test_a_sub_path_is_made(tmp_path: Path) -> None:
    assert sub_path(tmp_path, "a/b").is_dir()


@pytest.mark.parametrize("relative", ["../x", "a/../../x", "/etc", "link/x"])
def test_a_sub_path_stays_in_its_volume(tmp_path: Path, relative: str) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="leaves its volume"):
        sub_path(tmp_path / "v", relative)


@pytest.mark.parametrize(
    ("content", "expected"), [(b"", ""), (b"abc", "abc"), (b"abcdef", "abcd"), (b"\xff", "\ufffd")], ids=repr
)
def test_reading_no_more_than_allowed(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "f").write_bytes(content)
    assert read_limited(tmp_path / "f", 4) == expected


def test_reading_what_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # must not wait for a writer
    (tmp_path / "folder").mkdir()
    assert [read_limited(tmp_path / name, 4) for name in ("none", "fifo", "folder")] == ["", "", ""]


def test_a_pods_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = PodFolder(tmp_path, "01234567-89ab-cdef-0123-456789abcdef")
    folder.log("main", 0).touch()
    folder.termination_log("main", 0)
    write_volume(folder.volume("v"), [File("a", b"A", 0o400)])
    assert folder.temporary.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["01234567-89ab"]
    folder.remove()
    assert list(tmp_path.iterdir()) == []
