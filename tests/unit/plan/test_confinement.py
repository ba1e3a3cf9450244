"""confined: the profile `restricted` where the template is silent, and not a word against it."""

from __future__ import annotations

from typing import Any

import pytest
from trireme.plan.confinement import RESTRICTED, confined


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in RESTRICTED.items() if key not in keys}


UNCONFINED = {"type": "Unconfined"}
CAPABLE = {"capabilities": {"add": ["IPC_LOCK"]}}

# what the pod says, what the container says, what the container gets
CASES: dict[str, tuple[Any, Any, Any]] = {
    "silence": (None, None, RESTRICTED),
    "null is silence": ({"runAsNonRoot": None}, {"capabilities": None, "runAsUser": None}, RESTRICTED),
    "a user": ({"runAsUser": 1000}, None, RESTRICTED),
    "the pod's word": (
        {"runAsNonRoot": False, "seccompProfile": UNCONFINED}, None, without("runAsNonRoot", "seccompProfile"),
    ),
    "the container's word": (None, {"runAsNonRoot": False}, {**RESTRICTED, "runAsNonRoot": False}),
    "other words": (None, {"readOnlyRootFilesystem": True}, {**RESTRICTED, "readOnlyRootFilesystem": True}),
    "root by the pod": ({"runAsUser": 0}, None, without("runAsNonRoot")),
    "root by the container": ({"runAsUser": 1000}, {"runAsUser": 0}, {**without("runAsNonRoot"), "runAsUser": 0}),
    "a user in a pod of root": ({"runAsUser": 0}, {"runAsUser": 5}, {**RESTRICTED, "runAsUser": 5}),
    "capabilities": (None, CAPABLE, {**RESTRICTED, **CAPABLE}),
    "privileged": (None, {"privileged": True}, {"privileged": True}),
    "CAP_SYS_ADMIN": (None, {"capabilities": {"add": ["CAP_SYS_ADMIN"]}}, {"capabilities": {"add": ["CAP_SYS_ADMIN"]}}),
    "all of it": (None, RESTRICTED, RESTRICTED),
}  # fmt: skip


@pytest.mark.parametrize(("pod", "container", "expected"), CASES.values(), ids=CASES.keys())
def test_the_template_has_the_last_word(pod: Any, container: Any, expected: Any) -> None:
    written = {"name": "a", "image": "img"} | ({} if container is None else {"securityContext": container})
    found = confined(written, {} if pod is None else {"securityContext": pod})
    assert found == {**written, "securityContext": expected}
