"""The examples as real pods, on a cluster with nodes on which the operator is installed (`make kind-up`).

TRIREME_E2E_KUBECONFIG names the cluster; nothing else is touched than a namespace that each test makes and removes.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_tools import binary

ROOT = Path(__file__).parents[2]
KUBECONFIG = os.environ.get("TRIREME_E2E_KUBECONFIG")
EXAMPLES = sorted((ROOT / "manifests/examples").glob("*.yaml"))
WAIT = "--timeout=300s"

pytestmark = [
    pytest.mark.skipif(not KUBECONFIG, reason="TRIREME_E2E_KUBECONFIG names no cluster (make kind-up makes one)"),
    pytest.mark.timeout(600),
]


class Kubectl:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        """Standard output. Raises CalledProcessError."""
        command = [str(binary("kubectl")), f"--kubeconfig={KUBECONFIG}", f"--namespace={self.namespace}", *arguments]
        return subprocess.run(command, check=True, text=True, input=text, stdout=subprocess.PIPE).stdout

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", "trainingjob", name, "-o", "json"))
        return found


@pytest.fixture
def kubectl() -> Iterator[Kubectl]:
    namespace = f"trireme-e2e-{uuid.uuid4().hex[:6]}"
    kubectl = Kubectl(namespace)
    kubectl("create", "namespace", namespace)
    yield kubectl
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_succeeds_and_leaves_nothing(kubectl: Kubectl, example: Path) -> None:
    kubectl("apply", "-f", str(example))
    kubectl("wait", "--for=condition=Succeeded", f"trainingjob/{example.stem}", WAIT)
    progress = kubectl.job(example.stem)["status"]["progress"]
    assert progress["percent"] == 100
    if example.stem.startswith("digits"):
        assert progress["metrics"]["accuracy"] >= 0.95
    kubectl("delete", "trainingjob", example.stem)
    ours = "app.kubernetes.io/managed-by=trireme,trireme.dev/job"
    kubectl("wait", "--for=delete", "pod,service,secret,networkpolicy,poddisruptionbudget", "-l", ours, WAIT)


def test_a_deleted_worker_is_replaced_and_named(kubectl: Kubectl) -> None:
    document = json.loads(kubectl("create", "--dry-run=client", "-o", "json", "-f", str(EXAMPLES[-1])))
    name = document["metadata"]["name"]
    trainer = document["spec"]["worker"]["template"]["spec"]["containers"][0]
    trainer["command"] = ["sh", "-c", "touch /tmp/started; sleep 600 & wait"]
    kubectl("apply", "-f", "-", text=json.dumps(document))
    kubectl("wait", "--for=condition=Running", f"trainingjob/{name}", WAIT)
    kubectl("delete", "pod", f"{name}-worker-1", "--wait=false")
    kubectl("wait", "--for=jsonpath={.status.disruptions}=1", f"trainingjob/{name}", WAIT)
    kubectl("wait", "--for=condition=Running", f"trainingjob/{name}", WAIT)
    status = kubectl.job(name)["status"]
    assert (status["failure"]["pod"], status["restarts"]) == (f"{name}-worker-1", 0)
