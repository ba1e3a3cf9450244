"""The limit: a process that does nothing but create pods, with bodies that were encoded beforehand.

python benchmarks/support/raw_client.py KUBECONFIG
For each line `NAMESPACE JOBS WORKERS` it says `ready`; after one more line it creates the pods and says `done`.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

import msgspec
from support.api import Api
from support.rounds import many, raw_manifests


async def main(kubeconfig: Path) -> None:
    async with Api(kubeconfig) as api:
        while line := await asyncio.to_thread(sys.stdin.readline):
            namespace, jobs, workers = line.split()
            pods = [
                msgspec.json.encode(pod)
                for index in range(int(jobs))
                for pod in raw_manifests(namespace, f"j{index}", int(workers))
            ]
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            path = f"/api/v1/namespaces/{namespace}/pods"
            await many(partial(api.post, path, pod) for pod in pods)
            print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
