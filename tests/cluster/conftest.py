"""The API server that the tests of this folder talk to: the pocket's, or the one that TRIREME_TEST_KUBECONFIG names."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.api import APPLY, Api, connect
from kubernetes_tools import binary
from trireme.cluster.client import Client
from trireme.pocket.apiserver import ApiServer
from trireme.spec.crd import crd

GIVEN = Path(os.environ["TRIREME_TEST_KUBECONFIG"]) if "TRIREME_TEST_KUBECONFIG" in os.environ else None


@pytest.fixture
async def pocket() -> AsyncIterator[ApiServer | None]:
    """The pocket's API server, unless another one is tested."""
    if GIVEN:
        yield None
        return
    server = ApiServer(token="test-token")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def kubeconfig(pocket: ApiServer | None) -> dict[str, Any]:
    """The kubeconfig of a cluster that a test may change, as its content."""
    if pocket is not None:
        return pocket.kubeconfig()
    assert GIVEN
    given: dict[str, Any] = yaml.safe_load(GIVEN.read_text(encoding="utf-8"))
    return given


@pytest.fixture
def kubeconfig_path(kubeconfig: dict[str, Any], tmp_path: Path) -> Path:
    """The same as a file."""
    if GIVEN:
        return GIVEN
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
    return path


@pytest.fixture
async def api(kubeconfig: dict[str, Any]) -> AsyncIterator[Api]:
    async with connect(kubeconfig) as api:
        yield api


@pytest.fixture
async def namespace(api: Api) -> AsyncIterator[str]:
    """An empty namespace of the test's own, in a cluster that knows TrainingJobs."""
    definition = crd()
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    place = f"{definitions}/{definition['metadata']['name']}?fieldManager=tests&force=true"
    assert (await api("PATCH", place, definition, APPLY)).code in (200, 201)
    name = f"test-{uuid.uuid4().hex[:8]}"
    assert (await api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})).code == 201
    assert await api.eventually(f"/apis/trireme.dev/v1alpha1/namespaces/{name}/trainingjobs", 200)
    assert await api.eventually(f"/api/v1/namespaces/{name}/serviceaccounts/default", 200)
    yield name
    await api("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
async def client(kubeconfig_path: Path) -> AsyncIterator[Client]:
    async with await Client.connect(kubeconfig_path) as client:
        yield client


@pytest.fixture(scope="session")
def kubectl_path() -> Path:
    """The one that TRIREME_KUBECTL names, else the pinned one."""
    named = os.environ.get("TRIREME_KUBECTL")
    return Path(named) if named else binary("kubectl")
