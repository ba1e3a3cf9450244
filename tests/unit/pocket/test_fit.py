"""trireme.pocket.fit: which node a pod fits on, and if none, why."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from trireme.pocket.fit import Unschedulable, fit, requests, usage

GPU = "nvidia.com/gpu"


def node(name: str = "n1", gpus: int = 2, ready: str = "True", **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"disk": "ssd", "cores": "8", **fields.pop("labels", {})}},
        "spec": fields,
        "status": {
            "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10", GPU: str(gpus)},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def pod(gpus: int = 0, **spec: Any) -> dict[str, Any]:
    limits = {"limits": {GPU: gpus}} if gpus else {}
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "resources": limits}], **spec}}


def affinity(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


TAINT = {"key": "gpu", "value": "a", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("wanting", "nodes", "used", "expected"),
    [
        pytest.param(pod(), [node("b"), node("a")], {}, "a", id="the first by name"),
        pytest.param(pod(2), [node()], {}, "n1", id="as many GPUs as there are"),
        pytest.param(pod(3), [node()], {}, "1 Insufficient nvidia.com/gpu", id="more GPUs than there are"),
        pytest.param(pod(1), [node()], {"n1": {GPU: Fraction(2)}}, "1 Insufficient nvidia.com/gpu", id="all in use"),
        pytest.param(pod(2), [node("a", 1), node("b", 2)], {}, "b", id="another node has them"),
        pytest.param(pod(1), [node(gpus=0), node("n2", ready="Unknown")], {},
                     "1 Insufficient nvidia.com/gpu, 1 node(s) were not ready", id="each node has its reason"),
        pytest.param(pod(), [node(unschedulable=True)], {}, "1 node(s) were unschedulable", id="cordoned"),
        pytest.param(pod(), [node()], {"n1": {"pods": Fraction(10)}}, "1 Too many pods", id="too many pods"),
        pytest.param({"spec": {"containers": [{"resources": {"requests": {"cpu": "64", "memory": "1Ti"}}}]}}, [node()],
                     {}, "n1", id="CPU and memory are not enforced"),
        pytest.param({"spec": {"containers": [{"resources": {"limits": {"amd.com/gpu": 1}}}]}}, [node()],
                     {}, "1 Insufficient amd.com/gpu", id="a resource that no node has"),
        pytest.param(pod(nodeSelector={"disk": "ssd"}), [node()], {}, "n1", id="a label that matches"),
        pytest.param(pod(nodeSelector={"disk": "hdd"}), [node()], {},
                     "1 node(s) didn't match Pod's node affinity/selector", id="a label that does not"),
        pytest.param(pod(affinity=affinity({"key": "disk", "operator": "In", "values": ["ssd"]},
                                           {"key": "cores", "operator": "Gt", "values": ["4"]},
                                           {"key": "none", "operator": "DoesNotExist"})), [node()], {}, "n1",
                     id="affinity that matches"),
        pytest.param(pod(affinity=affinity({"key": "cores", "operator": "Lt", "values": ["8"]})), [node()], {},
                     "1 node(s) didn't match Pod's node affinity/selector", id="affinity that does not"),
        pytest.param(pod(), [node(taints=[TAINT])], {}, "1 node(s) had untolerated taint(s)", id="a taint"),
        pytest.param(pod(tolerations=[{"key": "gpu", "operator": "Exists"}]), [node(taints=[TAINT])], {}, "n1",
                     id="a tolerated taint"),
        pytest.param(pod(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}),
                     [node()], {},
                     "1 node(s) whose scheduler, the pocket's, does not know required podAntiAffinity",
                     id="what the pocket cannot do is said"),
    ],
)  # fmt: skip
def test_fit(wanting: dict[str, Any], nodes: list[dict[str, Any]], used: dict[str, Any], expected: str) -> None:
    found = fit(wanting, nodes, used)
    if isinstance(found, Unschedulable):
        assert found.message == f"0/{len(nodes)} nodes are available: {expected}."
    else:
        assert found == expected


def test_without_nodes() -> None:
    assert fit(pod(), [], {}) == Unschedulable("no nodes available to schedule pods")


def test_requests_are_those_of_the_phase_that_needs_most() -> None:
    def container(gpus: int, **fields: Any) -> dict[str, Any]:
        return {"resources": {"requests": {GPU: gpus}}, **fields}

    wanting = {
        "spec": {
            "initContainers": [container(1, restartPolicy="Always"), container(5)],
            "containers": [container(2), container(1)],
        }
    }
    assert requests(wanting) == {"pods": 1, GPU: 6}


def test_usage_counts_what_is_bound_and_not_over() -> None:
    def on(name: str, phase: str) -> dict[str, Any]:
        return {**pod(1, nodeName=name), "status": {"phase": phase}}

    pods = [on("a", "Running"), on("a", "Pending"), on("a", "Failed"), on("b", "Succeeded"), on("b", "Running"), pod(1)]
    assert usage(pods) == {"a": {"pods": 2, GPU: 2}, "b": {"pods": 1, GPU: 1}}
