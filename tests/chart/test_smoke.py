"""The script of `helm test`, run against the pocket cluster as its pod would run it."""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import sys
from pathlib import Path

import yaml
from render_manifests import CHART, ROOT, template
from trireme.cluster.resources import TRAINING_JOBS
from trireme.pocket.cluster import PocketCluster
from trireme.spec.parse import parse


async def smoke(kubeconfig: Path, **environment: str) -> tuple[int, list[str]]:
    """Its exit code and its lines."""
    defaults = {
        "KUBECONFIG": str(kubeconfig), "PYTHONPATH": f"{ROOT / 'operator'}", "TEST_NAMESPACE": "default",
        "TEST_NAME": "trireme-test", "TEST_POD": "{}", "TEST_CONTAINER": '{"image": "operator"}', "TEST_SECONDS": "60",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        CHART / "files/smoke.py",
        env={**os.environ, **defaults, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode().splitlines()


def test_pods_of_the_job_are_found_room_and_image_as_the_operators_are(maximal):
    said = yaml.safe_load(Path(maximal.partition("=")[2]).read_text(encoding="utf-8"))
    *_, tester = template(maximal, "--show-only=templates/tests/smoke.yaml")
    given = {each["name"]: each["value"] for each in tester["spec"]["containers"][0]["env"]}
    made = runpy.run_path(str(CHART / "files/smoke.py"))["job"](
        "smoke", json.loads(given["TEST_POD"]), json.loads(given["TEST_CONTAINER"])
    )
    pod = parse(made).spec.worker.template["spec"]
    container = pod["containers"][0]
    assert {key: pod[key] for key in ("imagePullSecrets", "nodeSelector", "tolerations")} == {
        key: said[key] for key in ("imagePullSecrets", "nodeSelector", "tolerations")
    }
    assert (container["image"], container["imagePullPolicy"], container["resources"]) == (
        f"{said['image']['repository']}@{said['image']['digest']}",
        said["image"]["pullPolicy"],
        said["resources"],
    )


async def test_succeeds_and_tidies_up(tmp_path):
    async with PocketCluster(tmp_path / "pocket") as cluster, cluster.client() as client:
        code, lines = await smoke(cluster.kubeconfig_path)
        assert (code, lines[-1].partition(" in ")[0]) == (0, "Succeeded: 2 pods, 2 processes")
        assert (await client.list(TRAINING_JOBS))[0] == []


async def test_says_what_the_job_waits_for(tmp_path):
    async with PocketCluster(tmp_path / "pocket") as cluster:
        code, lines = await smoke(cluster.kubeconfig_path, TEST_SECONDS="0")
        assert (code, lines[-1]) == (1, "not finished within 0 s")
