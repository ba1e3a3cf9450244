"""The order of the tests where several run at once: trainings keep both cores busy, most other tests wait.

Dealt out among the rest, the longest first, trainings find the cores that the rest leaves idle, and what ends last is
short.
"""

from __future__ import annotations

import pytest

TRAININGS = (
    "chaos/test_chaos.py",
    "local/test_operator_elastic.py",
    "local/test_checkpoint_resume.py",
    "local/test_run.py",
    "local/test_examples.py",
    "local/test_horovod.py",
    "local/test_elastic.py",
    "local/test_ps_members.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # of pytest-xdist
        trainings = sorted((item for item in items if item.path.as_posix().endswith(TRAININGS)), key=_turn)
        others = [item for item in items if not item.path.as_posix().endswith(TRAININGS)]
        items[:] = spread(trainings, others)


def _turn(item: pytest.Item) -> int:
    return next(turn for turn, name in enumerate(TRAININGS) if item.path.as_posix().endswith(name))


def spread(some: list[pytest.Item], others: list[pytest.Item]) -> list[pytest.Item]:
    """All of them, `some` at equal distances, the first one in front."""
    apart = -(-len(others) // max(1, len(some)))
    spread = []
    for at, item in enumerate(some):
        spread += [item, *others[at * apart : (at + 1) * apart]]
    return spread + others[len(some) * apart :]
