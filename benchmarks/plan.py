#!/usr/bin/env python3
"""How long does it take to plan a job and to write its manifests? JSON on standard output.

    python benchmarks/plan.py [PODS ...]        default: 10 1000 10000

`encode` is what the client does next with each manifest (msgspec, as JSON); it is no part of the plan.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))

import msgspec
from trireme.plan import manifests
from trireme.plan.planner import plan
from trireme.spec.parse import parse

REPEATS = 5


def job(pods: int) -> dict[str, Any]:
    container = {
        "name": "trainer",
        "image": "registry.example/train:1",
        "command": ["python3", "train.py"],
        "env": [{"name": f"SETTING_{i}", "value": str(i)} for i in range(10)],
        "resources": {"limits": {"nvidia.com/gpu": 8, "memory": "512Gi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    return {
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "bench", "uid": "11111111-2222-4333-8444-555555555555"},
        "spec": {
            "worker": {"replicas": pods, "template": {"spec": {"containers": [container], "volumes": volumes}}},
        },
    }


def seconds(run: Callable[[], Any]) -> dict[str, float]:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return {"median": round(statistics.median(times), 5), "min": round(min(times), 5)}


def measure(pods: int) -> dict[str, Any]:
    obj = job(pods)
    parsed = parse(obj)
    planned = plan(parsed, attempt=0, agent="0123456789abcdef")
    written = [manifests.pod(planned, pod) for pod in planned.pods]
    return {
        "pods": pods,
        "ranks": sum(pod.slots for pod in planned.pods),
        "parse": seconds(lambda: parse(obj)),
        "plan": seconds(lambda: plan(parsed, attempt=0, agent="0123456789abcdef")),
        "manifests": seconds(lambda: [manifests.pod(planned, pod) for pod in planned.pods]),
        "encode": seconds(lambda: [msgspec.json.encode(manifest) for manifest in written]),
    }


if __name__ == "__main__":
    sizes = [int(argument) for argument in sys.argv[1:]] or [10, 1000, 10000]
    results = [measure(pods) for pods in sizes]
    print(json.dumps({"python": platform.python_version(), "unit": "seconds", "results": results}, indent=2))
