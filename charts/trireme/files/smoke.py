"""`helm test`: the operator makes a job of two pods succeed, or this says what the job's status says and exits 1."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from trireme.cluster.client import Client, Object
from trireme.cluster.resources import TRAINING_JOBS

POLL_SECONDS = 1.0


def job(name: str, pod: Object, container: Object) -> Object:
    """Two pods that agree on their ranks; nothing is trained, so that the operator's own image will do.

    `pod` and `container`: what the chart's values say of where such a pod finds its image, its node and its resources.
    """
    trainer = {
        **container,
        "name": "trainer",
        "command": ["python3", "-c", "import os; print('rank', os.environ['RANK'], 'of', os.environ['WORLD_SIZE'])"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        **pod,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [trainer],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {
        "apiVersion": TRAINING_JOBS.api_version,
        "kind": TRAINING_JOBS.kind,
        "metadata": {"name": name},
        "spec": {
            "strategy": "AllReduce",
            "worker": {"replicas": 2, "template": {"spec": spec}},
            "allReduce": {"backend": "Torch"},
        },
    }


async def main() -> int:
    namespace, name = os.environ["TEST_NAMESPACE"], os.environ["TEST_NAME"]
    pod, container = json.loads(os.environ["TEST_POD"]), json.loads(os.environ["TEST_CONTAINER"])
    async with await Client.connect() as client:
        await client.create(TRAINING_JOBS, namespace, job(name, pod, container))
        said = ""
        try:
            async with asyncio.timeout(float(os.environ["TEST_SECONDS"])):
                while True:
                    found = await client.get(TRAINING_JOBS, namespace, name)
                    status = found.get("status") or {}
                    now = status.get("message") or "not seen by the operator yet"
                    if now != said:
                        print(now, flush=True)
                        said = now
                    if status.get("phase") in ("Succeeded", "Failed"):
                        return 0 if status["phase"] == "Succeeded" else 1
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            print(f"not finished within {os.environ['TEST_SECONDS']} s", flush=True)
            return 1
        finally:
            await client.delete(TRAINING_JOBS, namespace, name, propagation="Background")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
