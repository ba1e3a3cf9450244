from __future__ import annotations

import pytest
from support.jobs import VALID, in_pod, job, parameter_server, with_value
from trireme.cli.ranks import ranks_of, role_of, span, trainer_container


def test_ranks_of_each_pod_are_dense() -> None:
    two = job("spec", "worker", "processesPerReplica", value=2)
    assert ranks_of(two) == {"digits-worker-0": range(2), "digits-worker-1": range(2, 4)}


def test_ranks_follow_the_nodes_of_the_pods() -> None:
    four = job("spec", "worker", "replicas", value=4)
    nodes = ["a", "b", "a"]  # worker 3 has none yet
    pods = [{"metadata": {"name": f"digits-worker-{i}"}, "spec": {"nodeName": node}} for i, node in enumerate(nodes)]
    assert ranks_of(four, pods) == {
        "digits-worker-0": range(1),
        "digits-worker-2": range(1, 2),
        "digits-worker-1": range(2, 3),
        "digits-worker-3": range(3, 4),
    }


def test_ranks_follow_the_topology_domains_that_pods_are_told_of() -> None:
    three = with_value(
        job("spec", "worker", "replicas", value=3), "spec", "scheduling", value={"topology": {"key": "rack"}}
    )
    pods = [
        {"metadata": {"name": f"digits-worker-{i}", "labels": {"rack": rack}}, "spec": {"nodeName": f"n{i}"}}
        for i, rack in enumerate(["x", "y", "x"])
    ]
    assert list(ranks_of(three, pods)) == ["digits-worker-0", "digits-worker-2", "digits-worker-1"]


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


def test_the_container_of_a_server() -> None:
    own = {"spec": {"containers": [{"name": "shard", "image": "x"}]}}
    jobs = parameter_server(), parameter_server(server={"template": own})
    assert [trainer_container(job, role_of("digits-server-0")) for job in jobs] == ["trainer", "shard"]
