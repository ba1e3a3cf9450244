"""One operator that loses the lead and wins it again: it goes on with what it knew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.api import session
from cluster.door import Door, Journal
from support.ear import ear
from support.operating import Operator, end_all, job, phase, pods, run_all
from trireme.cluster.client import Client
from trireme.cluster.resources import LEASES, TRAINING_JOBS
from trireme.controller.settings import Settings


async def test_a_leader_without_an_api_server_stops_and_goes_on_when_it_is_back(
    kubeconfig: dict[str, Any], client: Client, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with session(kubeconfig) as upstream, Door("only", upstream, Journal()).opened() as door:
        path = tmp_path / "door.kubeconfig"
        path.write_text(yaml.safe_dump(door.kubeconfig), encoding="utf-8")
        settings = Settings(
            kubeconfig=path, key_file=tmp_path / "operator.key", namespaces=(namespace,),
            leader_elect=True, lease_namespace=namespace, lease_seconds=3,
        )  # fmt: skip
        async with Operator(settings, monkeypatch).running():
            await client.create(TRAINING_JOBS, namespace, job())
            found = await pods(client, namespace, 2)
            with ear("leadership lost") as lost:
                door.shut()
                await run_all(client, namespace, found)
                await lost.wait()
            door.open()
            await phase(client, namespace, "Running")
            await end_all(client, namespace, found)
            await phase(client, namespace, "Succeeded")
            held = (await client.get(LEASES, namespace, "trireme-operator"))["spec"]
        left = (await client.get(LEASES, namespace, "trireme-operator"))["spec"]
    assert (held["leaseDurationSeconds"], held["leaseTransitions"]) == (3, 0)
    assert held["holderIdentity"]
    assert "holderIdentity" not in left
