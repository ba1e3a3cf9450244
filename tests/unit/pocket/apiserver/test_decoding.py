from __future__ import annotations

from typing import Any

import pytest
from trireme.pocket.apiserver.builtin.shapes import shape
from trireme.pocket.apiserver.decoding import DecodeError, decode

POD = shape("io.k8s.api.core.v1.Pod")
LEASE = shape("io.k8s.api.coordination.v1.Lease")


def test_unknown_fields_and_nulls_go_and_maps_keep_their_keys() -> None:
    pod = {
        "metadata": {"name": "a", "labels": {"any": "key"}, "creationTimestamp": None},
        "spec": {"contaners": [], "containers": [{"name": "c", "imag": "x", "resources": {"limits": {"cpu": 1}}}]},
    }
    assert decode(pod, POD) == ["spec.contaners", "spec.containers[0].imag"]
    assert pod == {
        "metadata": {"name": "a", "labels": {"any": "key"}},
        "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": 1}}}]},
    }


@pytest.mark.parametrize(
    ("obj", "schema", "problem"),
    [
        ({"metadata": {"name": 1}}, POD, "cannot unmarshal int into Go struct field metadata.name of type string"),
        ({"spec": {"hostNetwork": 1}}, POD, "spec.hostNetwork of type boolean"),
        ({"spec": {"priority": True}}, POD, "spec.priority of type integer"),
        (
            {"spec": {"containers": {}}},
            POD,
            "cannot unmarshal object into Go struct field spec.containers of type array",
        ),
        ({"spec": {"renewTime": "yesterday"}}, LEASE, 'parsing time "yesterday"'),
        ({"spec": {"renewTime": "2026-13-01T00:00:00Z"}}, LEASE, 'parsing time "2026-13-01T00:00:00Z"'),
        ({"spec": {"overhead": {"cpu": "a lot"}}}, POD, "spec.overhead.cpu: quantities must match"),
    ],
)
def test_wrong_types_are_refused(obj: dict[str, Any], schema: dict[str, Any], problem: str) -> None:
    with pytest.raises(DecodeError, match=problem.replace("[", r"\[")):
        decode(obj, schema)
