"""The checkpoint directory: what is torn is never read, and what interrupts a save harms nothing that was there."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from trireme_worker.checkpoint import manifest as manifests
from trireme_worker.checkpoint.errors import Torn
from trireme_worker.checkpoint.folder import Folder
from trireme_worker.checkpoint.manifest import Manifest

CONTENT = b"0123456789" * 1000
NAMES = ("rank-00000.pt", "rank-00001.pt")


def saving(folder: Folder, step: int, token: str) -> Manifest:
    """A save up to its commit."""
    folder.begin(token)
    files = {name: folder.write(token, name, lambda out: (out.write(CONTENT), None)[1]) for name in NAMES}
    return Manifest(step, len(NAMES), "team/digits", (), files)


def save(folder: Folder, step: int, token: str = "t") -> None:
    folder.commit(token, saving(folder, step, token))


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """With one checkpoint, of step 10."""
    folder = Folder(str(tmp_path / "checkpoints"))
    save(folder, 10)
    return folder


def test_what_is_saved_is_there(folder: Folder) -> None:
    found, _ = folder.manifest(10)
    assert folder.steps() == [10]
    assert [folder.checked(found, name).read_bytes() for name in NAMES] == [CONTENT, CONTENT]
    assert sorted(path.name for path in folder.path.iterdir()) == ["step-000000000010"]


def test_no_directory_holds_no_checkpoint(tmp_path: Path) -> None:
    assert Folder(str(tmp_path / "none")).steps() == []


@pytest.mark.parametrize("length", [0, 1, 4096, len(CONTENT) - 1, len(CONTENT) + 1], ids=str)
def test_a_file_of_another_length_is_torn(folder: Folder, length: int) -> None:
    found, _ = folder.manifest(10)
    os.truncate(folder.path / "step-000000000010" / NAMES[1], length)
    with pytest.raises(Torn, match=rf"^rank-00001\.pt has {length} bytes, and 10000 were written$"):
        folder.checked(found, NAMES[1])
    assert folder.good(10) is False


@pytest.mark.parametrize("at", [0, 5000, len(CONTENT) - 1], ids=["first", "middle", "last"])
def test_a_flipped_bit_is_found(folder: Folder, at: int) -> None:
    path = folder.path / "step-000000000010" / NAMES[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    found, _ = folder.manifest(10)
    with pytest.raises(Torn, match=r"^rank-00000\.pt is not what was written: its digest differs$"):
        folder.checked(found, NAMES[0])


def test_a_missing_file_is_found(folder: Folder) -> None:
    (folder.path / "step-000000000010" / NAMES[1]).unlink()
    assert folder.good(10) is False


def test_a_checkpoint_under_another_name_is_none(folder: Folder) -> None:
    (folder.path / "step-000000000010").rename(folder.path / "step-000000000011")
    with pytest.raises(Torn, match="manifest is of step 10"):
        folder.manifest(11)


def test_a_save_that_is_interrupted_anywhere_leaves_the_others(folder: Folder) -> None:
    before = contents(folder.path)
    folder.begin("begun")
    folder.begin("half")
    folder.write("half", NAMES[0], lambda out: (out.write(CONTENT), None)[1])
    saving(folder, 20, "whole")  # but not committed
    assert folder.steps() == [10]
    folder.sweep()
    assert contents(folder.path) == before


def test_a_rank_whose_file_is_not_seen_stops_the_commit(folder: Folder) -> None:
    manifest = saving(folder, 20, "t")
    (folder.path / ".saving-t" / NAMES[1]).unlink()
    with pytest.raises(Torn, match=r"does not see rank-00001\.pt of another rank: all pods must share the directory"):
        folder.commit("t", manifest)
    assert folder.steps() == [10]


def test_of_two_writers_of_a_step_the_first_wins(folder: Folder) -> None:
    manifests_ = {token: saving(folder, 20, token) for token in ("one", "two")}
    folder.commit("one", manifests_["one"])
    before = contents(folder.path / "step-000000000020")
    folder.commit("two", manifests_["two"])
    assert contents(folder.path / "step-000000000020") == before
    assert sorted(path.name for path in folder.path.iterdir()) == ["step-000000000010", "step-000000000020"]


def test_a_torn_checkpoint_is_replaced_by_a_good_one(folder: Folder) -> None:
    os.truncate(folder.path / "step-000000000010" / NAMES[0], 5)
    save(folder, 10, "again")
    assert folder.good(10) is True


def test_a_writer_whose_folder_was_swept_fails_and_harms_nobody(folder: Folder) -> None:
    folder.begin("old")
    folder.sweep()
    with pytest.raises(FileNotFoundError):
        folder.write("old", NAMES[0], lambda out: (out.write(CONTENT), None)[1])
    assert folder.good(10) is True


def test_the_newest_are_kept_and_what_is_not_ours_stays(folder: Folder) -> None:
    for step in (20, 30, 40):
        save(folder, step)
    foreign = folder.path / "step-000000000005"
    foreign.mkdir()
    (foreign / manifests.NAME).write_text("somebody else's")
    folder.prune(2)
    assert folder.steps() == [40, 30, 5]


@contextmanager
def full_disk(free: int) -> Iterator[None]:
    """No file may grow beyond `free` bytes: write(2) fails, as it does with ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("free", [0, 100, len(CONTENT) - 1], ids=str)
def test_a_full_disk_is_an_error_and_no_checkpoint(folder: Folder, free: int) -> None:
    before = contents(folder.path)
    with full_disk(free), pytest.raises(OSError, match="File too large"):
        saving(folder, 20, "t")
    folder.abandon("t")
    assert contents(folder.path) == before
