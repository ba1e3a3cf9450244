"""trireme.pocket.kubelet.admission: what the pocket's node cannot do for a pod."""

from __future__ import annotations

from typing import Any

import pytest
from trireme.pocket.kubelet.admission import not_enforced, refusals

MAIN = {"name": "main", "image": "busybox", "command": ["true"]}
KINDS = "configMap, downwardAPI, emptyDir, hostPath, persistentVolumeClaim, projected, secret"


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{**MAIN, **(container or {})}], **spec}}


@pytest.mark.parametrize(
    ("refused", "reasons"),
    [
        pytest.param(pod(), [], id="an ordinary pod"),
        pytest.param(pod({"command": None, "args": ["x"]}),
                     ["spec.containers[0].command: the pocket pulls no image and cannot know its ENTRYPOINT; "
                      "write the command"], id="no command"),
        pytest.param(pod(volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}}]),
                     [f"spec.volumes[0].nfs: the pocket has {KINDS} volumes only"], id="a network volume"),
        pytest.param(pod(volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
                     ["spec.volumes[0].projected.sources[0].serviceAccountToken: there is no such projection here"],
                     id="a projected token"),
        pytest.param(pod({"livenessProbe": {"exec": {"command": ["true"]}}}),
                     ["spec.containers[0].livenessProbe: probes are not run"], id="a probe"),
        pytest.param(pod({"securityContext": {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}}}),
                     ["spec.containers[0].securityContext.privileged: a process of the pocket has the rights of who "
                      "started it, no more",
                      "spec.containers[0].securityContext.capabilities.add: SYS_ADMIN cannot be given"],
                     id="privileges"),
        pytest.param(pod({"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]}),
                     ["spec.containers[0].ports[1].hostPort: the node has no address that others can reach"],
                     id="a host port"),
        pytest.param(pod(hostNetwork=True),
                     ["spec.hostNetwork: each pod has a loopback address of its own, by which the others find it"],
                     id="the host's network"),
        pytest.param(pod({"volumeMounts": [{"name": "v", "mountPath": "/"}]}, volumes=[{"name": "v", "emptyDir": {}}]),
                     ["spec.containers[0].volumeMounts[0].mountPath: nothing can be mounted over the whole file "
                      "system"], id="a mount over everything"),
        pytest.param(pod(initContainers=[{"name": "i", "image": "busybox"}], runtimeClassName="gvisor"),
                     ["spec.runtimeClassName: there is no container runtime",
                      "spec.initContainers[0].command: the pocket pulls no image and cannot know its ENTRYPOINT; "
                      "write the command"], id="several reasons at once"),
        pytest.param(pod(os={"name": "windows"}), ["spec.os.name: only linux runs here"], id="windows"),
    ],
)  # fmt: skip
def test_refusals(refused: dict[str, Any], reasons: list[str]) -> None:
    assert refusals(refused) == reasons


@pytest.mark.parametrize(
    ("confined", "fields"),
    [
        pytest.param(pod(), [], id="nothing asked"),
        pytest.param(pod({"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                          "resources": {"limits": {"cpu": "1"}}}, securityContext={"runAsUser": 1000}),
                     ["spec.securityContext.runAsUser",
                      "spec.containers[0].securityContext.allowPrivilegeEscalation",
                      "spec.containers[0].securityContext.capabilities.drop",
                      "spec.containers[0].resources.limits.cpu"], id="the restricted profile"),
        pytest.param(pod({"volumeMounts": [{"name": "h", "mountPath": "/h", "readOnly": True},
                                           {"name": "c", "mountPath": "/c", "readOnly": True}]},
                         volumes=[{"name": "h", "hostPath": {"path": "/h"}}, {"name": "c", "configMap": {}}]),
                     ["spec.containers[0].volumeMounts[0].readOnly"], id="a folder of the machine, read-only"),
    ],
)  # fmt: skip
def test_not_enforced(confined: dict[str, Any], fields: list[str]) -> None:
    assert not_enforced(confined) == fields
