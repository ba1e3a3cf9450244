from __future__ import annotations

from pathlib import Path

import pytest
from trireme_worker import linux


@pytest.mark.parametrize(
    ("text", "kills"),
    [
        pytest.param("low 0\nhigh 3\nmax 21\noom 2\noom_kill 1\noom_group_kill 0\n", 1, id="version 2"),
        pytest.param("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", 4, id="version 1"),
        pytest.param("low 0\n", 0, id="an old kernel"),
    ],
)
def test_kills_for_memory_are_read_where_the_kernel_counts_them(tmp_path: Path, text: str, kills: int) -> None:
    (tmp_path / "counter").write_text(text)
    assert linux.oom_kills([str(tmp_path / "none"), str(tmp_path / "counter")]) == kills


def test_where_nothing_is_counted_nobody_was_killed(tmp_path: Path) -> None:
    assert linux.oom_kills([str(tmp_path / "none")]) == 0
