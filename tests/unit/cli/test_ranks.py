from __future__ import annotations

import pytest
from support.jobs import VALID, in_pod, job
from trireme.cli.ranks import ranks_of, span, trainer_container


def test_ranks_of_each_pod_are_dense() -> None:
    two = job("spec", "worker", "processesPerReplica", value=2)
    assert ranks_of(two) == {"digits-worker-0": range(2), "digits-worker-1": range(2, 4)}


def test_an_invalid_job_has_none() -> None:
    assert ranks_of(job("spec", "worker", "replicas", value=0)) == {}


@pytest.mark.parametrize(("ranks", "text"), [(range(3, 4), "3"), (range(8, 16), "8-15")])
def test_a_span_of_ranks(ranks: range, text: str) -> None:
    assert span(ranks) == text


@pytest.mark.parametrize(
    ("containers", "name"),
    [
        ([{"name": "main"}], "main"),
        ([{"name": "proxy"}, {"name": "trainer"}], "trainer"),
        ([{"name": "a"}, {"name": "b"}], "a"),
        ([], None),
    ],
)
def test_the_container_that_trains(containers: list[dict[str, str]], name: str | None) -> None:
    assert trainer_container(in_pod("containers", value=containers)) == name
    assert trainer_container(VALID) == "trainer"
