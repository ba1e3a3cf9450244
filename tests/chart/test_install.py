"""The chart in a real cluster, that of TRIREME_TEST_KUBECONFIG: Helm's life cycle, Pod Security, sufficient rights."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_tools import binary
from render_manifests import CHART, ROOT, helm
from trireme.plan import manifests
from trireme.plan.planner import plan
from trireme.spec.parse import parse

KUBECONFIG = os.environ.get("TRIREME_TEST_KUBECONFIG", "")
pytestmark = pytest.mark.skipif(not KUBECONFIG, reason="TRIREME_TEST_KUBECONFIG names no cluster")

CRD = "trainingjobs.trireme.dev"
OF_THE_POD = ("--key-file", "--probe-port", "--metrics-")
"""Arguments that mean a pod's files and ports."""
POD_SECURITY = "pod-security.kubernetes.io/enforce=restricted"


class KubectlFailed(Exception):
    """The text is what kubectl said."""


def kubectl(*arguments: str, stdin: Any = None) -> str:
    """`stdin` is an object for `-f -`. Raises KubectlFailed."""
    command = [binary("kubectl"), f"--kubeconfig={KUBECONFIG}", *arguments]
    text = None if stdin is None else json.dumps(stdin)
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise KubectlFailed(done.stderr)
    return done.stdout


def names_in(namespace: str, kinds: str, *flags: str) -> set[str]:
    return set(kubectl("--namespace", namespace, "get", kinds, "--output=name", *flags).split())


def allowed(namespace: str, account: str, verb: str, resource: str, *flags: str) -> bool:
    user = f"--as=system:serviceaccount:{namespace}:{account}"
    try:
        return kubectl("auth", "can-i", verb, resource, user, *flags) == "yes\n"
    except KubectlFailed:  # its exit code says no
        return False


@dataclass(frozen=True)
class Release:
    name: str
    home: str
    jobs: str
    """A second namespace."""

    @property
    def fullname(self) -> str:
        return f"{self.name}-trireme"

    def install(self, *arguments: str) -> None:
        """Or upgrade. The CRD is taken over, as other tests may have left it."""
        self._helm("upgrade", "--install", "--take-ownership", *arguments, self.name, CHART)

    def uninstall(self) -> None:
        self._helm("uninstall", "--ignore-not-found", "--wait", self.name)

    def holder(self) -> str:
        """Who leads; empty when nobody does."""
        text = kubectl("--namespace", self.home, "get", "lease", self.fullname, "--output=json")
        holder: str = json.loads(text)["spec"].get("holderIdentity", "")
        return holder

    def pod(self) -> dict[str, Any]:
        """A pod like the operator's."""
        text = kubectl("--namespace", self.home, "get", "deployment", self.fullname, "--output=json")
        spec = json.loads(text)["spec"]["template"]["spec"]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried", "namespace": self.home}, "spec": spec}

    def _helm(self, *arguments: str | Path) -> None:
        helm(*arguments, f"--namespace={self.home}", environment={"KUBECONFIG": KUBECONFIG})


@pytest.fixture
def release() -> Iterator[Release]:
    """Not installed yet; its namespaces take only what Pod Security `restricted` takes."""
    name = f"chart-{secrets.token_hex(3)}"
    release = Release(name, home=f"{name}-home", jobs=f"{name}-jobs")
    for namespace in (release.home, release.jobs):
        kubectl("create", "namespace", namespace)
        kubectl("label", "namespace", namespace, POD_SECURITY)
        kubectl("--namespace", namespace, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield release
    release.uninstall()
    kubectl("delete", "namespace", release.home, release.jobs, "--wait=false")


@pytest.fixture(scope="module")
def smoke_job() -> dict[str, Any]:
    """The job of `helm test`."""
    scope: dict[str, Any] = {"__name__": "smoke"}
    exec((CHART / "files/smoke.py").read_text(encoding="utf-8"), scope)
    job: dict[str, Any] = scope["job"]("smoke", {}, {"image": "image"})
    return job


def test_install_upgrade_uninstall(release):
    release.install()
    budget = f"poddisruptionbudget.policy/{release.fullname}"
    assert names_in(release.home, "deployments,services,networkpolicies,poddisruptionbudgets,roles") == {
        f"deployment.apps/{release.fullname}",
        f"service/{release.fullname}-metrics",
        f"networkpolicy.networking.k8s.io/{release.fullname}",
        budget,
        f"role.rbac.authorization.k8s.io/{release.fullname}-lease",
    }
    read_key = (
        "--namespace",
        release.home,
        "get",
        "secret",
        f"{release.fullname}-key",
        "--output=jsonpath={.data.key}",
    )
    key = kubectl(*read_key)
    assert len(base64.b64decode(key)) == 32

    release.install("--set=replicas=1", "--set=operator.verbose=true")
    assert kubectl(*read_key) == key
    assert names_in(release.home, "poddisruptionbudgets") == set()
    release.install("--set=replicas=3")
    assert names_in(release.home, "poddisruptionbudgets") == {budget}

    release.uninstall()
    kinds = "deployments,services,secrets,serviceaccounts,networkpolicies,poddisruptionbudgets,roles,rolebindings"
    left = names_in(release.home, kinds)
    assert left == {"serviceaccount/default"}
    cluster_wide = kubectl("get", "clusterroles,clusterrolebindings", "--output=name")
    assert release.fullname not in cluster_wide
    assert kubectl("get", "crd", CRD, "--output=jsonpath={.metadata.annotations.helm\\.sh/resource-policy}") == "keep"


def test_pod_security_takes_the_operators_pod(release):
    release.install()
    pod = release.pod()
    assert kubectl("create", "--dry-run=server", "-f", "-", stdin=pod) == "pod/tried created (server dry run)\n"

    del pod["spec"]["containers"][0]["securityContext"]
    with pytest.raises(KubectlFailed, match="violates PodSecurity"):
        kubectl("create", "--dry-run=server", "-f", "-", stdin=pod)


def test_pod_security_takes_the_pods_of_helm_test(release, smoke_job):
    release.install()
    text = helm(
        "template", release.name, CHART, f"--namespace={release.home}", "--show-only=templates/tests/smoke.yaml"
    )
    *rights, pod = yaml.safe_load_all(text)
    for obj in rights:
        kubectl("create", "-f", "-", stdin=obj)
    kubectl("create", "--dry-run=server", "-f", "-", stdin=pod)
    account = pod["spec"]["serviceAccountName"]
    assert allowed(release.home, account, "create", CRD, "--namespace", release.home)
    assert not allowed(release.home, account, "list", "pods", "--namespace", release.home)

    metadata = {"name": "smoke", "namespace": release.home, "uid": "11111111-2222-4333-8444-555555555555"}
    planned = plan(parse({**smoke_job, "metadata": metadata}), attempt=0, agent="0" * 64)
    for pod_plan in planned.pods:
        kubectl("create", "--dry-run=server", "-f", "-", stdin=manifests.pod(planned, pod_plan))


@pytest.mark.parametrize(
    ("role", "verbs"),
    [
        ("view", ["get", "list", "watch"]),
        ("edit", ["create", "patch", "delete", "watch"]),
        ("admin", ["create", "get"]),
    ],
)
def test_users_roles_cover_jobs(release, role, verbs):
    release.install()
    place = ("--namespace", release.home)
    kubectl(*place, "create", "rolebinding", role, f"--clusterrole={role}", f"--serviceaccount={release.home}:user")

    def lacking() -> list[str]:
        return [verb for verb in verbs if not allowed(release.home, "user", verb, CRD, *place)]

    deadline = time.monotonic() + 30
    while lacking() and time.monotonic() < deadline:  # the controller manager aggregates roles when it comes to it
        time.sleep(0.2)
    assert lacking() == []
    assert allowed(release.home, "user", "delete", CRD, *place) == (role != "view")


@pytest.mark.parametrize("scope", ["cluster", "namespaced"])
def test_rights_suffice_for_a_job(release, scope, smoke_job, tmp_path):
    namespaced = scope == "namespaced"
    release.install(*([f"--set=watchNamespaces={{{release.jobs}}}"] if namespaced else []))
    assert allowed(release.home, release.fullname, "list", "pods", "--all-namespaces") != namespaced
    assert not allowed(release.home, release.fullname, "get", "secrets", "--namespace", release.jobs)
    lease = f"leases.coordination.k8s.io/{release.fullname}"
    assert allowed(release.home, release.fullname, "patch", lease, "--namespace", release.home)
    assert not allowed(release.home, release.fullname, "patch", f"{lease}-of-another", "--namespace", release.home)

    place = ("--namespace", release.jobs)
    until = ("--timeout=60s",)
    with operator_of(release, tmp_path) as log:
        once = {**smoke_job, "metadata": {"name": "smoke"}, "spec": {**smoke_job["spec"], "restart": {"limit": 0}}}
        kubectl(*place, "create", "-f", "-", stdin=once)
        for index in range(2):
            kubectl(*place, "wait", "--for=create", f"pod/smoke-worker-{index}", *until)
        kubectl(*place, "wait", "tj/smoke", "--for=jsonpath={.status.phase}=Pending", *until)
        assert names_in(release.jobs, "services") == {"service/tj-smoke"}

        failed = {"status": {"phase": "Failed", "containerStatuses": [exited("trainer", 3)]}}
        patch = ("--subresource=status", "--type=merge", "--patch", json.dumps(failed))
        kubectl(*place, "patch", "pod", "smoke-worker-1", *patch)
        kubectl(*place, "wait", "tj/smoke", "--for=jsonpath={.status.phase}=Failed", *until)
        kubectl(*place, "wait", "--for=delete", "pod/smoke-worker-0", *until)
        assert release.holder()
        await_event(release.jobs, "Failed")
    assert release.holder() == ""
    # As RBAC says it: jobs of other tests, in namespaces that are going, are forbidden pods for another reason.
    lacking = f'"system:serviceaccount:{release.home}:{release.fullname}" cannot '
    assert [line for line in log.read_text(encoding="utf-8").splitlines() if lacking in line] == []


def await_event(namespace: str, reason: str) -> None:
    """Events are written beside the work, nothing else waits for them."""
    deadline = time.monotonic() + 30
    while not names_in(namespace, "events.events.k8s.io", f"--field-selector=reason={reason}"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def exited(container: str, code: int) -> dict[str, Any]:
    """A container status."""
    return {
        "name": container, "image": "image", "imageID": "", "ready": False, "restartCount": 0,
        "state": {"terminated": {"exitCode": code}},
    }  # fmt: skip


@contextlib.contextmanager
def operator_of(release: Release, folder: Path) -> Iterator[Path]:
    """Runs the operator as the Deployment would, with the ServiceAccount's token and nothing else; its log."""
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--output=yaml"))
    token = kubectl("--namespace", release.home, "create", "token", release.fullname).strip()
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    kubeconfig, log = folder / "kubeconfig", folder / "log"
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    (container,) = release.pod()["spec"]["containers"]
    arguments = [argument for argument in container["args"] if not argument.startswith(OF_THE_POD)]
    options = (f"--kubeconfig={kubeconfig}", f"--key-file={folder / 'key'}")
    path = f"{ROOT / 'operator'}{os.pathsep}{ROOT / 'images/worker'}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "trireme.cli", *arguments, *options],
            env={**os.environ, "PYTHONPATH": path},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(timeout=30)
