"""How `spec.checkpoint` and the pod template go together: where the directory lies, and the time left to save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trireme.contract import environ
from trireme.spec.errors import FieldError
from trireme.spec.model import JobSpec
from trireme.spec.template import trainer_position

_PATH = "spec.checkpoint"
_POD = "spec.worker.template.spec"


def check(spec: JobSpec) -> Iterator[FieldError]:
    if spec.checkpoint is None:
        return
    pod = _object(spec.worker.template, "spec")
    period = pod.get("terminationGracePeriodSeconds")
    needed = spec.checkpoint.grace_seconds + environ.AGENT_SECONDS
    if isinstance(period, int) and period < needed:
        yield FieldError(
            f"{_POD}.terminationGracePeriodSeconds",
            f"must be at least {needed} or left out: {_PATH}.graceSeconds is {spec.checkpoint.grace_seconds}, and the "
            f"agent needs {environ.AGENT_SECONDS}",
        )
    yield from _check_volume(spec, spec.checkpoint.directory, pod)


def _check_volume(spec: JobSpec, directory: str, pod: Mapping[str, Any]) -> Iterator[FieldError]:
    containers = _objects(pod, "containers")
    if not containers:
        return
    position = trainer_position(containers)
    found = _mount(directory, _objects(containers[position], "volumeMounts"))
    if found is None:
        yield FieldError(
            f"{_PATH}.directory", "no volume is mounted there into the trainer: what is saved would go with the pod"
        )
        return
    index, mount = found
    path = f"{_POD}.containers[{position}].volumeMounts[{index}]"
    if mount.get("readOnly") is True:
        yield FieldError(f"{path}.readOnly", f"must not be true: {_PATH}.directory is there")
    volume = next((each for each in _objects(pod, "volumes") if each.get("name") == mount.get("name")), {})
    own = next((kind for kind in ("emptyDir", "ephemeral") if kind in volume), None)
    if own and spec.worker.replicas > 1:
        yield FieldError(
            f"{path}.name", f"each pod has an {own} volume of its own, and {_PATH}.directory is shared by all pods"
        )


def _mount(directory: str, mounts: list[Mapping[str, Any]]) -> tuple[int, Mapping[str, Any]] | None:
    """The deepest mount at or above the directory."""
    around = [
        (len(place), index)
        for index, mount in enumerate(mounts)
        if isinstance(place := mount.get("mountPath"), str)
        and f"{directory.rstrip('/')}/".startswith(f"{place.rstrip('/')}/")
    ]
    if not around:
        return None
    index = max(around)[1]
    return index, mounts[index]


def _object(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _objects(parent: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = parent.get(key)
    return [item if isinstance(item, dict) else {} for item in items] if isinstance(items, list) else []
