"""trireme.pocket.kubelet.crilog and .logs: what is written is read, as `kubectl logs` asks for it."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trireme.pocket.apiserver.logs import LogOptions
from trireme.pocket.kubelet import crilog, logs

SECOND = 1_000_000_000
NOW = 100.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.log"


@pytest.fixture
def writer(path: Path) -> Iterator[crilog.Writer]:
    with crilog.Writer(str(path)) as writer:
        yield writer


@pytest.fixture
def small_writer(path: Path) -> Iterator[crilog.Writer]:
    """Rotates after 200 bytes: four or five lines."""
    with crilog.Writer(str(path), file_max=200) as writer:
        yield writer


async def read(path: Path, **options: Any) -> bytes:
    chunks = logs.read(path, LogOptions(**options), NOW, ended=lambda: True)
    return b"".join([chunk async for chunk in chunks])


def test_format(path: Path, writer: crilog.Writer) -> None:
    writer.write("stdout", b"one\ntw", SECOND)
    writer.write("stderr", b"oops\n\n", 2 * SECOND + 5)
    writer.write("stdout", b"o\nrest", 3 * SECOND)
    writer.write("stdout", b"", 4 * SECOND)
    assert path.read_text().splitlines() == [
        "1970-01-01T00:00:01.000000000Z stdout F one",
        "1970-01-01T00:00:02.000000005Z stderr F oops",
        "1970-01-01T00:00:02.000000005Z stderr F ",
        "1970-01-01T00:00:03.000000000Z stdout F two",
        "1970-01-01T00:00:04.000000000Z stdout F rest",
    ]


@pytest.mark.parametrize("size", [crilog.LINE_MAX - 1, crilog.LINE_MAX, crilog.LINE_MAX + 1, 3 * crilog.LINE_MAX + 7])
@pytest.mark.parametrize("step", [1000, 100_000], ids=["in pieces", "at once"])
async def test_long_lines_come_back_whole(path: Path, writer: crilog.Writer, size: int, step: int) -> None:
    text = b"x" * size + b"\nshort\n"
    for start in range(0, len(text), step):
        writer.write("stdout", text[start : start + step], SECOND)
    assert await read(path) == text
    assert await read(path, tail_lines=2) == text


def test_no_entry_is_longer_than_a_line_may_be(path: Path, writer: crilog.Writer) -> None:
    writer.write("stdout", b"x" * (3 * crilog.LINE_MAX), SECOND)
    head = "1970-01-01T00:00:01.000000000Z stdout P "
    assert [len(line) for line in path.read_text().splitlines()] == 3 * [len(head) + crilog.LINE_MAX]


@pytest.fixture
def five_lines(path: Path, writer: crilog.Writer) -> Path:
    for number in range(5):
        writer.write("stdout", b"line %d\n" % number, (96 + number) * SECOND)
    return path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, b"line 0\nline 1\nline 2\nline 3\nline 4\n", id="all"),
        pytest.param({"tail_lines": 2}, b"line 3\nline 4\n", id="tail"),
        pytest.param({"tail_lines": 0}, b"", id="no tail"),
        pytest.param({"tail_lines": 9}, b"line 0\nline 1\nline 2\nline 3\nline 4\n", id="more tail than there is"),
        pytest.param({"since_seconds": 2}, b"line 2\nline 3\nline 4\n", id="since"),
        pytest.param({"limit_bytes": 9}, b"line 0\nli", id="limit"),
        pytest.param(
            {"tail_lines": 1, "timestamps": True}, b"1970-01-01T00:01:40.000000000Z line 4\n", id="timestamps"
        ),
    ],
)
async def test_options(five_lines: Path, options: dict[str, Any], expected: bytes) -> None:
    assert await read(five_lines, **options) == expected


async def test_a_log_that_does_not_exist_is_empty(path: Path) -> None:
    assert await read(path) == b""


async def test_on_a_full_disk_entries_are_lost_and_nothing_else(path: Path, writer: crilog.Writer) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer.write("stdout", b"before\n", SECOND)
    resource.setrlimit(resource.RLIMIT_FSIZE, (80, before[1]))
    try:
        for _ in range(3):
            writer.write("stdout", b"too much\n" * 9, SECOND)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    writer.write("stdout", b"after\n", SECOND)
    assert await read(path) == b"before\nafter\n"


async def test_two_files_are_kept(path: Path, small_writer: crilog.Writer) -> None:
    for number in range(20):
        small_writer.write("stdout", b"%02d\n" % number, SECOND)
    text = await read(path)
    assert text == b"".join(b"%02d\n" % number for number in range(20))[-len(text) :]
    assert [file.name for file in sorted(path.parent.iterdir())] == ["0.log", "0.log.1"]
    assert all(file.stat().st_size <= 200 for file in path.parent.iterdir())


async def test_follow_sees_what_comes_across_rotations_and_ends_with_the_container(
    path: Path, small_writer: crilog.Writer
) -> None:
    ended = False
    seen: list[bytes] = []
    first = asyncio.Event()

    async def follow() -> None:
        async for chunk in logs.read(path, LogOptions(follow=True), NOW, ended=lambda: ended):
            seen.append(chunk)
            first.set()

    small_writer.write("stdout", b"start\n", SECOND)
    reader = asyncio.create_task(follow())
    await first.wait()
    for number in range(6):  # one rotation
        small_writer.write("stdout", b"%02d\n" % number, SECOND)
    ended = True
    await reader
    assert b"".join(seen) == b"start\n00\n01\n02\n03\n04\n05\n"
