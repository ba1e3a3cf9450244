from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
from trireme.cli.lines import NO_TIME, START, Line, Mark, Source, after, line, merged, wanted

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: int, text: str = "", pod: str = "p") -> Line:
    stamp = f"2026-01-01T00:00:{second:02d}.000000000Z"
    return Line(pod, T0.replace(second=second), stamp, text)


async def stream(*lines: Line) -> AsyncGenerator[Line, None]:
    for each in lines:
        await asyncio.sleep(0)
        yield each


async def collected(lines: AsyncGenerator[Line, None]) -> list[str]:
    return [each.text for each in [each async for each in lines]]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            b"2026-01-01T00:00:05.123456789Z [3] step 1",
            Line("p", T0.replace(second=5, microsecond=123456), "2026-01-01T00:00:05.123456789Z", "[3] step 1"),
            id="usual",
        ),
        pytest.param(
            b"2026-01-01T02:00:05.000000001+02:00 ",
            Line("p", T0.replace(second=5), "2026-01-01T02:00:05.000000001+02:00", ""),
            id="another zone, empty line",
        ),
        pytest.param(b"unable to retrieve container logs", Line("p", NO_TIME, "", "unable to retrieve container logs"),
                     id="no time"),
        pytest.param(b"", Line("p", NO_TIME, "", ""), id="empty"),
        pytest.param(
            b"2026-01-01T00:00:05Z \xff\r",
            Line("p", T0.replace(second=5), "2026-01-01T00:00:05Z", "\ufffd"),
            id="binary",
        ),
    ],
)  # fmt: skip
def test_a_line_is_taken_apart(raw: bytes, expected: Line) -> None:
    assert line("p", raw) == expected


@pytest.mark.parametrize(
    ("text", "rank"), [("[3] step", 3), ("[12] ", 12), ("[agent] up", None), ("loss [3] x", None), ("[3]", None)]
)
def test_the_rank_of_a_line(text: str, rank: int | None) -> None:
    assert at(0, text).rank == rank
    assert wanted(at(0, text), ())
    assert wanted(at(0, text), {3}) == (rank == 3)


async def test_logs_are_merged_by_time_and_each_stays_in_its_own_order() -> None:
    first = stream(at(1, "a1"), at(4, "a4"), at(2, "a2, of a clock set back"), at(6, "a6"))
    second = stream(at(1, "b1"), at(3, "b3"), at(5, "b5"))
    assert await collected(merged([first, second, stream()])) == [
        "a1", "b1", "b3", "a4", "a2, of a clock set back", "b5", "a6",
    ]  # fmt: skip


async def test_a_log_that_is_read_again_goes_on_behind_the_mark() -> None:
    lines = [at(1, "one"), at(2, "two"), at(2, "two again"), at(2, "two for the third time"), at(3, "three")]
    for shown in range(len(lines) + 1):
        mark = START
        for each in lines[:shown]:
            mark = mark.moved(each)
        rest = [each.text for each in lines[shown:]]
        assert await collected(after(mark, stream(*lines))) == rest, shown


async def test_a_log_that_was_rotated_away_is_shown_from_where_it_begins_now() -> None:
    assert await collected(after(Mark(T0.replace(second=2), at(2).stamp), stream(at(5, "five")))) == ["five"]


async def test_chunks_end_anywhere() -> None:
    class Client:
        async def logs(self, *_: Any, **options: Any) -> AsyncGenerator[bytes, None]:
            assert options["timestamps"]
            for chunk in (b"2026-01-01T00:00:0", b"1Z a\n2026-01-01T00:00:02Z b", b"\n2026-01-01T00:00:03Z c"):
                yield chunk

    source = Source(Client(), "team", lambda pod: "trainer")  # type: ignore[arg-type]
    assert await collected(source.read("p")) == ["a", "b", "c"]
