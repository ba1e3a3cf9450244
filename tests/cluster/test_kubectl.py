"""Real kubectl against the API server: what a user types, and what kubectl prints."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.api import Api
from cluster.widgets import CRDS, DEFINITION, GROUP, widget

TIMEOUT_SECONDS = 60
WIDGET = "widget.conformance.trireme.dev"

Kubectl = Callable[..., Awaitable[str]]


class KubectlFailed(Exception):
    """kubectl ended with another code than 0; the text is what it said."""


@pytest.fixture
async def environment(kubeconfig_path: Path, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": str(kubeconfig_path), "KUBECACHEDIR": str(tmp_path / "cache")}


@pytest.fixture
async def kubectl(kubectl_path: Path, environment: dict[str, str], namespace: str, api: Api) -> AsyncIterator[Kubectl]:
    """Runs kubectl in a namespace that has widgets; `stdin` is its input. Returns what it printed."""
    assert (await api("POST", CRDS, DEFINITION)).code in (201, 409)
    assert await api.eventually(f"/apis/{GROUP}/v1/namespaces/{namespace}/widgets", 200)

    async def run(*arguments: str, stdin: Any = None) -> str:
        text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
        process = await asyncio.create_subprocess_exec(
            kubectl_path, "--namespace", namespace, *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=environment,
        )  # fmt: skip
        async with asyncio.timeout(TIMEOUT_SECONDS):
            out, error = await process.communicate(text.encode() if text is not None else None)
        if process.returncode:
            raise KubectlFailed(f"{out.decode()}{error.decode()}")
        return out.decode()

    yield run
    await api("DELETE", f"{CRDS}/widgets.{GROUP}")


@asynccontextmanager
async def lines(path: Path, environment: dict[str, str], *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
    """The output of a kubectl that goes on, while it goes on."""
    process = await asyncio.create_subprocess_exec(path, *arguments, stdout=asyncio.subprocess.PIPE, env=environment)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            yield process.stdout
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def table(text: str) -> list[list[str]]:
    """The cells of a table, its ages masked; an empty cell is none."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return [[re.sub(r"^\d+m?s$", "AGE", cell) for cell in row] for row in rows]


async def test_apply_creates_then_configures_then_leaves_alone(kubectl: Kubectl) -> None:
    said = [await kubectl("apply", "-f", "-", stdin=widget("one", mode=mode)) for mode in ("Fast", "Fast", "Safe")]
    assert said == [f"{WIDGET}/one created\n", f"{WIDGET}/one unchanged\n", f"{WIDGET}/one configured\n"]
    assert yaml.safe_load(await kubectl("get", "widget", "one", "-o", "yaml"))["spec"] == {
        "mode": "Safe",
        "replicas": 2,
        "limits": {"retry": 3},
    }


async def test_apply_of_a_built_in_kind_merges_strategically(kubectl: Kubectl) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"tier": "a"}},
        "spec": {"containers": [{"name": "main", "image": "one:1"}], "nodeSelector": {"nowhere": "at-all"}},
    }
    assert await kubectl("apply", "-f", "-", stdin=pod) == "pod/web created\n"
    pod["spec"]["containers"][0]["image"] = "two:2"
    assert await kubectl("apply", "-f", "-", stdin=pod) == "pod/web configured\n"
    assert await kubectl("get", "pod", "web", "-o", "jsonpath={.spec.containers[*].image}") == "two:2"


async def test_apply_refuses_unknown_fields(kubectl: Kubectl) -> None:
    with pytest.raises(KubectlFailed, match=r'strict decoding error: unknown field "spec.colour"'):
        await kubectl("apply", "-f", "-", stdin=widget("one", colour="red"))


async def test_apply_of_a_kind_that_is_not_served_names_it(kubectl: Kubectl) -> None:
    gadget = {"apiVersion": "none.trireme.dev/v1", "kind": "Gadget", "metadata": {"name": "one"}}
    with pytest.raises(KubectlFailed, match=r'no matches for kind "Gadget" in version "none\.trireme\.dev/v1"'):
        await kubectl("apply", "-f", "-", stdin=gadget)


async def test_server_side_apply_and_its_conflict(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert await kubectl(*apply, stdin=widget("one", replicas=3)) == f"{WIDGET}/one serverside-applied\n"
    await kubectl("scale", "widget", "one", "--replicas=5")
    with pytest.raises(KubectlFailed, match=r'conflict with "kubectl" with subresource "scale".*: \.spec\.replicas'):
        await kubectl(*apply, stdin=widget("one", replicas=3))
    await kubectl(*apply, "--force-conflicts", stdin=widget("one", replicas=3))
    assert await kubectl("get", "wd", "one", "-o", "jsonpath={.spec.replicas}") == "3"


async def test_get_prints_the_columns_of_the_definition(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=widget("one"))
    ready = {"status": {"message": "because", "conditions": [{"type": "Ready", "status": "True"}]}}
    await kubectl("patch", "wd", "one", "--subresource=status", "--type=merge", "-p", json.dumps(ready))
    assert table(await kubectl("get", "wd")) == [["NAME", "MODE", "READY", "AGE"], ["one", "Fast", "True", "AGE"]]
    assert table(await kubectl("get", "widgets", "-o", "wide")) == [
        ["NAME", "MODE", "READY", "WHY", "AGE"],
        ["one", "Fast", "True", "because", "AGE"],
    ]


async def test_get_watch_prints_each_change(
    kubectl: Kubectl, kubectl_path: Path, environment: dict[str, str], namespace: str
) -> None:
    await kubectl("create", "-f", "-", stdin=widget("one"))
    async with lines(kubectl_path, environment, "-n", namespace, "get", "wd", "--watch", "--no-headers") as printed:
        assert table((await printed.readline()).decode()) == [["one", "Fast", "AGE"]]
        await kubectl("patch", "wd", "one", "--type=merge", "-p", '{"spec":{"mode":"Safe"}}')
        assert table((await printed.readline()).decode()) == [["one", "Safe", "AGE"]]


async def test_describe_shows_the_object_and_its_events(kubectl: Kubectl, api: Api, namespace: str) -> None:
    await kubectl("create", "-f", "-", stdin=widget("one"))
    uid = await kubectl("get", "wd", "one", "-o", "jsonpath={.metadata.uid}")
    about = {"kind": "Widget", "namespace": namespace, "name": "one", "apiVersion": f"{GROUP}/v1", "uid": uid}
    event = {
        "metadata": {"name": "one.1"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "action": "Launch",
        "reason": "Launched",
        "type": "Normal",
        "note": "it is off",
        "reportingController": "trireme.dev/operator",
        "reportingInstance": "op-0",
        "regarding": about,
    }
    assert (await api("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", event)).code == 201
    said = await kubectl("describe", "wd", "one")
    assert re.search(r"^Name: +one$", said, re.MULTILINE)
    assert re.search(r"Normal +Launched .* trireme.dev/operator +it is off", said)


async def test_logs_of_a_pod_that_has_no_node(kubectl: Kubectl) -> None:
    await kubectl("run", "waiting", "--image=example/none:1", '--overrides={"spec":{"schedulerName":"none"}}')
    assert await kubectl("logs", "waiting") == ""


async def test_delete_waits_until_the_object_is_gone(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=widget("one"))
    assert f'{WIDGET.partition(".")[0]}.{GROUP} "one" deleted' in await kubectl("delete", "wd", "one")
    with pytest.raises(KubectlFailed, match='"one" not found'):
        await kubectl("get", "wd", "one")


async def test_wait_for_a_condition_and_for_the_end(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=widget("one"))
    waiting = asyncio.create_task(kubectl("wait", "wd/one", "--for=condition=Ready", "--timeout=60s"))
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await kubectl("patch", "wd", "one", "--subresource=status", "--type=merge", "-p", json.dumps(ready))
    assert await waiting == f"{WIDGET}/one condition met\n"
    ending = asyncio.create_task(kubectl("wait", "wd/one", "--for=delete", "--timeout=60s"))
    await kubectl("delete", "wd", "one")
    await ending


async def test_scale(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=widget("one"))
    assert await kubectl("scale", "wd/one", "--replicas=7") == f"{WIDGET}/one scaled\n"
    with pytest.raises(KubectlFailed, match="should be less than or equal to 100"):
        await kubectl("scale", "wd/one", "--replicas=1000")


async def test_explain(kubectl: Kubectl) -> None:
    custom = await kubectl("explain", "widget.spec")
    assert re.search(r"mode\s+<string> -required-\n\s+enum: Fast, Safe", custom)
    assert re.search(r"valueFrom\s+<EnvVarSource>", await kubectl("explain", "pod.spec.containers.env"))


async def test_label_and_annotate(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=widget("one"))
    assert await kubectl("label", "wd", "one", "a=b") == f"{WIDGET}/one labeled\n"
    assert await kubectl("annotate", "wd", "one", "note=x") == f"{WIDGET}/one annotated\n"
    assert await kubectl("get", "wd", "-l", "a=b", "-o", "name") == f"{WIDGET}/one\n"
    assert await kubectl("get", "wd", "-l", "a!=b", "-o", "name") == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("configmap", "x", "--from-literal=a=b"), "configmap/x created\n", id="configmap"),
        pytest.param(("secret", "generic", "x", "--from-literal=a=b"), "secret/x created\n", id="secret"),
        pytest.param(("serviceaccount", "x"), "serviceaccount/x created\n", id="serviceaccount"),
        pytest.param(("service", "clusterip", "x", "--tcp=80:8080"), "service/x created\n", id="service"),
        pytest.param(
            ("role", "x", "--verb=get", "--resource=pods"), "role.rbac.authorization.k8s.io/x created\n", id="role"
        ),
        pytest.param(
            ("poddisruptionbudget", "x", "--selector=a=b", "--min-available=1"),
            "poddisruptionbudget.policy/x created\n",
            id="pdb",
        ),
    ],
)
async def test_create_sends_protobuf_for_built_in_kinds(
    kubectl: Kubectl, arguments: tuple[str, ...], said: str
) -> None:
    assert await kubectl("create", *arguments) == said


async def test_api_resources_and_permissions(kubectl: Kubectl) -> None:
    listed = table(await kubectl("api-resources", "--no-headers"))
    assert ["widgets", "wd", f"{GROUP}/v1", "true", "Widget"] in listed
    assert ["pods", "po", "v1", "true", "Pod"] in listed
    assert await kubectl("auth", "can-i", "create", "pods") == "yes\n"


CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: checkpoints}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


@pytest.mark.skipif("TRIREME_TEST_KUBECONFIG" in os.environ, reason="what binds claims is a real cluster's own")
async def test_a_claim_is_bound_as_soon_as_it_is_there(kubectl: Kubectl) -> None:
    assert await kubectl("apply", "-f", "-", stdin=CLAIM) == "persistentvolumeclaim/checkpoints created\n"
    shown = (await kubectl("get", "pvc", "--no-headers")).split()
    assert shown[:-1] == ["checkpoints", "Bound", "1Gi", "RWO", "<unset>"]
