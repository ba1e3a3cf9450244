"""Real kubectl on `trireme up`, with real pods: what a user types and what comes back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes_tools import binary
from support.desk import Desk, wait_for

SECONDS = 60
GREETING = "import trireme_worker as t, os; print('hello from', os.environ['RANK']); t.report(step=3, total_steps=3)"


@dataclass
class Kubectl:
    """kubectl at a desk where `trireme up` runs."""

    desk: Desk

    def __call__(self, *arguments: str, stdin: Any = None) -> str:
        """Returns what it printed, and what it complained of."""
        done = subprocess.run(
            [binary("kubectl"), *arguments], env=self._environ, text=True, timeout=SECONDS, check=False,
            input=json.dumps(stdin), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [binary("kubectl"), *arguments], env=self._environ, text=True, stdout=subprocess.PIPE
        )
        self.desk.started.append(process)
        return process

    def wait(self, name: str, *wanted: str) -> str:
        return self("wait", f"tj/{name}", *wanted, f"--timeout={SECONDS}s")

    @property
    def _environ(self) -> dict[str, str]:
        home = self.desk.home
        return {**os.environ, "KUBECONFIG": str(home / "trireme.kubeconfig"), "KUBECACHEDIR": str(home / "cache")}


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    desk = Desk(tmp_path_factory.mktemp("up"))
    up = desk.start("up", "--gpus", "2")
    wait_for((desk.home / "trireme.kubeconfig").exists)
    yield Kubectl(desk)
    up.send_signal(signal.SIGINT)
    _, err = up.communicate(timeout=SECONDS)
    assert (up.returncode, err) == (0, "")
    assert desk.clear() == []


def job(name: str, *command: str, replicas: int = 2, gpus: int = 0) -> dict[str, Any]:
    limits = {"resources": {"limits": {"nvidia.com/gpu": gpus}}} if gpus else {}
    container = {"name": "trainer", "image": "img", "command": list(command), **limits}
    worker = {"replicas": replicas, "template": {"spec": {"containers": [container]}}}
    return {
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {"worker": worker},
    }


def test_a_job_applied_watched_and_looked_at(kubectl: Kubectl) -> None:
    watch = kubectl.start("get", "tj", "--watch", "--no-headers", "--output-watch-events")
    assert watch.stdout is not None
    greets = job("greets", "python3", "-c", GREETING)
    assert kubectl("apply", "-f", "-", stdin=greets) == "trainingjob.trireme.dev/greets created\n"
    assert kubectl("apply", "-f", "-", stdin=greets) == "trainingjob.trireme.dev/greets unchanged\n"
    succeeded = next(line for line in watch.stdout if "Succeeded" in line).split()
    assert succeeded[:-1] == ["MODIFIED", "greets", "Succeeded", "2/2", "100%", "0"]
    assert kubectl.wait("greets", "--for=condition=Succeeded") == "trainingjob.trireme.dev/greets condition met\n"
    head, row = kubectl("get", "tj", "greets", "-o", "wide").splitlines()
    assert head.split() == ["NAME", "PHASE", "WORKERS", "PROGRESS", "RESTARTS", "AGE", "MESSAGE"]
    assert re.search(r" Succeeded: 2 pods, 2 processes in \d+s$", row)
    assert "[1] hello from 1\n" in kubectl("logs", "greets-worker-1")
    assert re.search(
        r"Normal +Succeeded .* trireme.dev/operator +Succeeded: 2 pods", kubectl("describe", "tj", "greets")
    )
    assert 'trainingjob.trireme.dev "greets" deleted' in kubectl("delete", "tj", "greets")
    assert kubectl("get", "tj") == "No resources found in default namespace.\n"


def test_server_side_apply_and_a_log_that_is_followed(kubectl: Kubectl) -> None:
    counts = job("counts", "sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done", replicas=1)
    said = kubectl("apply", "--server-side", "-f", "-", stdin=counts)
    assert said == "trainingjob.trireme.dev/counts serverside-applied\n"
    kubectl.wait("counts", "--for=jsonpath={.status.startTime}")
    followed = kubectl("logs", "--follow", "counts-worker-0").splitlines()
    assert [line for line in followed if "line" in line] == ["[0] line 1", "[0] line 2", "[0] line 3"]
    kubectl.wait("counts", "--for=condition=Succeeded")


def test_gpus_that_are_not_there_are_missed_until_the_job_is_scaled(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=job("greedy", "true", replicas=3, gpus=1))
    reason = "Pending: 1/3 unschedulable: Insufficient nvidia.com/gpu"
    assert "condition met" in kubectl.wait("greedy", "--for=jsonpath={.status.message}=" + reason)
    assert kubectl("scale", "tj/greedy", "--replicas=2") == "trainingjob.trireme.dev/greedy scaled\n"
    assert "condition met" in kubectl.wait("greedy", "--for=condition=Succeeded")
    assert "replicas cannot change after the job has started" in kubectl("scale", "tj/greedy", "--replicas=1")


def test_deleted_while_it_starts_nothing_is_left(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=job("gone", "sleep", "600", replicas=4))
    kubectl("delete", "tj", "gone")
    ours = ("-l", "trireme.dev/job=gone")
    kubectl("wait", "pods", *ours, "--for=delete", f"--timeout={SECONDS}s")
    wait_for(lambda: kubectl("get", "pods,services,secrets,pdb,netpol", *ours, "-o", "name") == "")


@pytest.mark.parametrize("how", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_an_unknown_field_is_refused_with_its_path(kubectl: Kubectl, how: tuple[str, ...]) -> None:
    wrong = job("wrong", "true")
    wrong["spec"]["worker"]["replica"] = 2
    said = kubectl("apply", *how, "-f", "-", stdin=wrong)
    assert 'strict decoding error: unknown field "spec.worker.replica"' in said
