"""The Node object: what this machine offers, and the sign of life that says it still does."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping

from trireme import __version__
from trireme.pocket.kubelet.container import to_text
from trireme.pocket.kubelet.environment import Object

GPU = "nvidia.com/gpu"
_PODS = 10_000
"""Pods are small here; the machine's memory is the limit that counts."""
_KIB = 1024


def capacity(gpus: int) -> dict[str, str]:
    """CPU, memory and pods of the machine, and that many pretend GPUs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _KIB
    offered = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory}Ki", "pods": str(_PODS)}
    return offered | ({GPU: str(gpus)} if gpus else {})


def manifest(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": _architecture(),
                "node.kubernetes.io/instance-type": "pocket",
            },
        },
        "spec": {},
    }


def status(name: str, address: str, offered: Mapping[str, str], since: str) -> Object:
    """`since` is when the node became ready (RFC 3339). There is no pressure condition, because nobody looks."""
    return {
        "capacity": dict(offered),
        "allocatable": dict(offered),
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "message": "the pocket kubelet is ready",
                "lastHeartbeatTime": to_text(time.time()),
                "lastTransitionTime": since,
            }
        ],
        "nodeInfo": {
            "architecture": _architecture(),
            "operatingSystem": "linux",
            "kernelVersion": platform.release(),
            "osImage": "this machine",
            "containerRuntimeVersion": "pocket://1",
            "kubeletVersion": f"v1.36.2+trireme-pocket-{__version__}",
            "kubeProxyVersion": "",
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
    }


def _architecture() -> str:
    """In Go's words, as everywhere in Kubernetes."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
