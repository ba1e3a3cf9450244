"""The one word that `kubectl get pods` prints as STATUS, and the counts beside it.

The word is the most telling thing known about the pod: why a container waits or ended, how far its init containers
are, that it is being deleted, or else its phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trireme.pocket.objects.ages import age


@dataclass(frozen=True, slots=True)
class PodSummary:
    """What the columns READY, STATUS and RESTARTS say."""

    ready: str
    status: str
    restarts: str


def summarize(pod: Mapping[str, Any], now: datetime) -> PodSummary:
    spec, status, metadata = pod.get("spec", {}), pod.get("status", {}), pod["metadata"]
    init, main = status.get("initContainerStatuses", []), status.get("containerStatuses", [])
    sidecars = {item["name"] for item in spec.get("initContainers", []) if item.get("restartPolicy") == "Always"}
    counted = [*(item for item in init if item["name"] in sidecars), *main]
    word = status.get("reason") or status.get("phase", "Unknown")
    if any(_gated(condition) for condition in status.get("conditions", [])):
        word = "SchedulingGated"
    initializing = _initializing(init, sidecars, len(spec.get("initContainers", [])))
    restarting = init if initializing else counted
    word = initializing or _main(main, word, status.get("conditions", []))
    if "deletionTimestamp" in metadata:
        word = "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    ready = sum(1 for item in counted if item.get("ready") and "running" in item.get("state", {}))
    total = len(spec.get("containers", [])) + len(sidecars)
    return PodSummary(f"{ready}/{total}", word, _restarts(restarting, now))


def _gated(condition: Mapping[str, Any]) -> bool:
    return condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated"


def _initializing(statuses: Sequence[Mapping[str, Any]], sidecars: set[str], total: int) -> str | None:
    for at, item in enumerate(statuses):
        state = item.get("state", {})
        ended, waiting = state.get("terminated"), state.get("waiting", {})
        if ended is not None and ended.get("exitCode") == 0:
            continue
        if item["name"] in sidecars and item.get("started"):
            continue
        if ended is not None:
            return f"Init:{ended.get('reason') or _exit(ended)}"
        if waiting.get("reason", "PodInitializing") != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{at}/{total}"
    return None


def _main(statuses: Sequence[Mapping[str, Any]], word: str, conditions: Sequence[Mapping[str, Any]]) -> str:
    running = False
    for item in reversed(statuses):
        state = item.get("state", {})
        ended = state.get("terminated")
        if reason := state.get("waiting", {}).get("reason"):
            word = reason
        elif ended is not None:
            word = ended.get("reason") or _exit(ended)
        elif item.get("ready") and "running" in state:
            running = True
    if word == "Completed" and running:
        ready = any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions)
        return "Running" if ready else "NotReady"
    return word


def _exit(ended: Mapping[str, Any]) -> str:
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _restarts(statuses: Sequence[Mapping[str, Any]], now: datetime) -> str:
    count = sum(item.get("restartCount", 0) for item in statuses)
    ended = [item.get("lastState", {}).get("terminated", {}).get("finishedAt") for item in statuses]
    latest = max((time for time in ended if time), default=None)
    return f"{count} ({age(latest, now)} ago)" if count and latest else str(count)
