"""What keeps a job to itself: its objects come with it and go with it, and Pod Security `restricted` takes its pods."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.operating import Operator, job, pods, until
from trireme.cluster.client import Client
from trireme.cluster.resources import NAMESPACES, NETWORK_POLICIES, POD_DISRUPTION_BUDGETS, TRAINING_JOBS
from trireme.controller.settings import Settings


@pytest.fixture
async def restricted(client: Client, namespace: str) -> str:
    """A namespace that refuses pods which ask for more than they need."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await client.patch(NAMESPACES, None, namespace, {"metadata": {"labels": labels}})
    return namespace


async def test_a_job_in_a_restricted_namespace(
    kubeconfig_path: Path, client: Client, restricted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(kubeconfig=kubeconfig_path, namespaces=(restricted,), key_file=tmp_path / "operator.key")
    async with Operator(settings, monkeypatch).running():
        made = await client.create(TRAINING_JOBS, restricted, job())
        await pods(client, restricted, 2)
        for resource, name in ((NETWORK_POLICIES, "tj-digits"), (POD_DISRUPTION_BUDGETS, "tj-digits-worker")):
            found = await until(client, resource, restricted, lambda found: bool(found))
            assert list(found) == [name]
            owners = [owner["uid"] for owner in found[name]["metadata"]["ownerReferences"]]
            assert owners == [made["metadata"]["uid"]]
        await client.delete(TRAINING_JOBS, restricted, "digits", propagation="Background")
        for resource in (NETWORK_POLICIES, POD_DISRUPTION_BUDGETS):
            assert not await until(client, resource, restricted, lambda found: not found)
