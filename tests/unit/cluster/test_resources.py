from __future__ import annotations

import pytest
from trireme.cluster import resources
from trireme.cluster.resources import NODES, PODS, TRAINING_JOBS, Resource, of_object


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(PODS.path(), "/api/v1/pods", id="everywhere"),
        pytest.param(PODS.path("team", "a"), "/api/v1/namespaces/team/pods/a", id="core"),
        pytest.param(PODS.path("team", "a", "log"), "/api/v1/namespaces/team/pods/a/log", id="subresource"),
        pytest.param(NODES.path(None, "n"), "/api/v1/nodes/n", id="cluster"),
        pytest.param(NODES.path("ignored", "n"), "/api/v1/nodes/n", id="cluster resource has no namespace"),
        pytest.param(TRAINING_JOBS.path("team"), "/apis/trireme.dev/v1alpha1/namespaces/team/trainingjobs", id="group"),
        pytest.param(PODS.path("a/b", "../c"), "/api/v1/namespaces/a%2Fb/pods/..%2Fc", id="no way out of the path"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


def test_every_constant_is_found_by_its_objects() -> None:
    known = [value for value in vars(resources).values() if isinstance(value, Resource)]
    assert len(known) > 10
    assert [of_object({"apiVersion": each.api_version, "kind": each.kind}) for each in known] == known


@pytest.mark.parametrize("obj", [{}, {"apiVersion": "v1", "kind": "Gadget"}, {"apiVersion": [], "kind": {}}])
def test_an_unknown_kind_is_refused(obj: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is not known here; known are ConfigMap"):
        of_object(obj)
