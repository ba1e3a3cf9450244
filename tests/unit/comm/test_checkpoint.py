from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trireme_worker.comm.ps import archive, functions
from trireme_worker.comm.ps.checkpoint import Checkpoints
from trireme_worker.comm.ps.consistency import Clock
from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.slot import Slot
from trireme_worker.comm.ps.table import Table

EMPTY_BYTES = len('{"version": 2, "job": "", "ranges": []}') + 20
TABLE = Table("w", 8, function={"name": "sgd", "lr": 0.1, "momentum": 0.9})


def slot(version: int) -> Slot:
    made = Slot(TABLE, 0)
    clock = Clock([0, 1])
    for number in range(1, version + 1):
        clock.advance(0, number)
    made.install(torch.full((8,), float(version)), {"momentum": torch.arange(8.0)}, clock, version, 5)
    return made


def found(folder: Path) -> tuple[object, ...] | None:
    got = Checkpoints(folder, 9).find(TABLE, 0)
    return None if got is None else (got[0].version, got[0].clock, [part.tolist() for part in got[1]])


def whole(version: int) -> tuple[object, ...]:
    return version, slot(version).clock.plain(), [[float(version)] * 8, [float(at) for at in range(8)]]


def test_the_copy_with_most_updates_comes_back(tmp_path: Path) -> None:
    Checkpoints(tmp_path, 0).save([slot(3)])
    Checkpoints(tmp_path, 1).save([slot(7), Slot(Table("empty", 1), 0)])
    Checkpoints(tmp_path, 2).save([slot(5)])
    assert found(tmp_path) == whole(7)


def test_a_new_checkpoint_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for version in (3, 4):
        path = Checkpoints(tmp_path, 0).save([slot(version)])
    assert [each.name for each in path.parent.iterdir()] == ["server-0"]
    assert found(tmp_path) == whole(4)


def test_a_save_without_a_range_keeps_what_there_was_of_it(tmp_path: Path) -> None:
    """As before any worker has registered the table."""
    Checkpoints(tmp_path, 0, "team/a").save([slot(3)])
    for _ in range(2):
        Checkpoints(tmp_path, 0, "team/a").save([])
        assert found(tmp_path) == whole(3)


@pytest.mark.parametrize(("other", "kept"), [(2, [0]), (3, [1]), (4, [1])], ids=["older", "the same", "newer"])
def test_a_copy_is_kept_until_another_file_has_one_as_new(other: int, kept: list[int], tmp_path: Path) -> None:
    files = [Checkpoints(tmp_path, server) for server in range(2)]
    for checkpoints, version in zip(files, (3, other), strict=True):
        checkpoints.save([slot(version)])
    sizes = [len(checkpoints.save([]).read_bytes()) for checkpoints in files]
    assert [server for server, size in enumerate(sizes) if size > EMPTY_BYTES] == kept
    assert found(tmp_path) == whole(max(3, other))


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans())))
def test_whoever_saves_whatever_the_latest_copy_is_found(saves: list[tuple[int, bool]]) -> None:
    """`saves`: by which server, and whether it has the range, with one more update than anybody before."""
    latest = 0
    with tempfile.TemporaryDirectory() as folder:
        for server, has in saves:
            latest += has
            Checkpoints(Path(folder), server).save([slot(latest)] if has else [])
        assert found(Path(folder)) == (whole(latest) if latest else None)


def test_a_function_that_a_script_has_no_more_makes_no_file_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its table goes on with another one that keeps the same states, and so do the other tables."""
    monkeypatch.setitem(sys.modules, "gone", functions)
    users = Slot(Table("users", 1, function={"name": "gone:Elementwise"}), 0)
    users.install(torch.ones(1), {}, Clock(), 1, 0)
    Checkpoints(tmp_path, 0).save([slot(3), users])
    monkeypatch.delitem(sys.modules, "gone")
    for _ in range(2):
        assert found(tmp_path) == whole(3)
        got = Checkpoints(tmp_path, 0).find(Table("users", 1), 0)
        assert got is not None
        assert (got[0].version, got[1][0].tolist()) == (1, [1])
        Checkpoints(tmp_path, 0).save([])


def test_of_a_torn_file_a_save_keeps_what_is_whole(tmp_path: Path) -> None:
    other = Slot(Table("other", 1), 0)
    other.install(torch.ones(1), {}, Clock(), 1, 0)
    path = Checkpoints(tmp_path, 0).save([other, slot(3)])
    data = path.read_bytes()
    path.write_bytes(b"torn" + data[4:])
    Checkpoints(tmp_path, 0).save([])
    assert (found(tmp_path), Checkpoints(tmp_path, 0).find(other.table, 0)) == (whole(3), None)
    path.write_bytes(b"torn")
    Checkpoints(tmp_path, 0).save([])
    assert len(path.read_bytes()) == EMPTY_BYTES


def test_nothing_is_found_where_there_is_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) is None
    Checkpoints(tmp_path, 0).save([slot(3)])
    assert Checkpoints(tmp_path, 0).find(Table("w", 9), 0) is None


def test_a_table_of_many_ranges_is_found_with_one_look_at_each_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look is at all ranges: one for each range would make a restore quadratic."""
    table = Table("many", 2_000_000)
    slots = [Slot(table, index) for index in range(len(table.ranges))]
    for each in slots:
        each.install(torch.full((len(each.range),), float(each.index)), {}, Clock(), 1, 0)
    for server in range(2):
        Checkpoints(tmp_path, server).save(slots[server::2])
    looks: list[str] = []
    read_index, parse = archive.read_index, Table.parse
    monkeypatch.setattr(archive, "read_index", lambda file: looks.append(Path(file.name).name) or read_index(file))
    monkeypatch.setattr(Table, "parse", lambda text: looks.append("a table") or parse(text))
    checkpoints = Checkpoints(tmp_path, 0)
    got = [checkpoints.find(table, index) for index in range(len(table.ranges))]
    assert [each and (each[0].index, each[1][0].unique().tolist()) for each in got] == [(at, [at]) for at in range(4)]
    assert sorted(looks) == ["a table", "server-0", "server-1"]
    slots[0].version = 2
    checkpoints.save(slots[::2])
    again = checkpoints.find(table, 0)
    assert again is not None
    assert (again[0].version, sorted(looks)) == (2, ["a table", "server-0", "server-0", "server-1"])


def test_a_file_cut_or_changed_anywhere_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    Checkpoints(tmp_path, 0).save([slot(3)])
    path = Checkpoints(tmp_path, 1).save([slot(7)])
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        assert found(tmp_path) == whole(3), size
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert found(tmp_path) == whole(3), at


def test_a_write_that_fails_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, 0)
    checkpoints.save([slot(3)])

    def full(_: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="no space left"):
            checkpoints.save([slot(7)])
    assert found(tmp_path) == whole(3)


@pytest.mark.parametrize("job", ["team/b", "other/a"])
def test_another_jobs_checkpoint_is_neither_read_nor_overwritten(tmp_path: Path, job: str) -> None:
    Checkpoints(tmp_path, 0, "team/a").save([slot(3)])
    with pytest.raises(ParameterServerError, match="holds the parameters of job team/a: give each job a directory"):
        Checkpoints(tmp_path, 1, job).claim()
    assert found(tmp_path) == whole(3)


def test_a_job_goes_on_from_its_own_and_a_script_from_any(tmp_path: Path) -> None:
    Checkpoints(tmp_path, 0, "team/a").claim()
    Checkpoints(tmp_path, 0, "team/a").save([slot(3)])
    Checkpoints(tmp_path, 0, "team/a").claim()
    Checkpoints(tmp_path, 0).claim()
    (tmp_path / "parameter-server/server-1").write_bytes(b"torn")
    Checkpoints(tmp_path, 1, "team/a").claim()


def test_a_file_of_another_release_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(archive, "_VERSION", 1)
        Checkpoints(tmp_path, 0).save([slot(3)])
    with pytest.raises(ParameterServerError, match="server-0 cannot be read: its format has version 1, this release"):
        Checkpoints(tmp_path, 1).claim()
