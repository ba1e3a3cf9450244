"""How `spec.checkpoint` and the pod template go together: where the directory lies, and the time left to save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trireme.contract import environ, names
from trireme.spec.errors import FieldError
from trireme.spec.lenient import mapping, mappings
from trireme.spec.model import JobSpec, Strategy, Template
from trireme.spec.template import trainer_position

_PATH = "spec.checkpoint"


def check(spec: JobSpec) -> Iterator[FieldError]:
    if spec.checkpoint is None:
        return
    yield from _check_role(spec, spec.worker.template, names.ROLE_WORKER)
    if spec.server.template is not None:
        yield from _check_role(spec, spec.server.template, names.ROLE_SERVER)


def _check_role(spec: JobSpec, template: Template, role: str) -> Iterator[FieldError]:
    assert spec.checkpoint is not None
    pod, path = mapping(template, "spec"), f"spec.{role}.template.spec"
    period = pod.get("terminationGracePeriodSeconds")
    needed = spec.checkpoint.grace_seconds + environ.AGENT_SECONDS
    if isinstance(period, int) and period < needed:
        yield FieldError(
            f"{path}.terminationGracePeriodSeconds",
            f"must be at least {needed} or left out: {_PATH}.graceSeconds is {spec.checkpoint.grace_seconds}, and the "
            f"agent needs {environ.AGENT_SECONDS}",
        )
    yield from _check_volume(spec, spec.checkpoint.directory, pod, path)


def _check_volume(spec: JobSpec, directory: str, pod: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    containers = mappings(pod, "containers")
    if not containers:
        return
    position = trainer_position(containers)
    found = _mount(directory, mappings(containers[position], "volumeMounts"))
    if found is None:
        yield FieldError(
            f"{_PATH}.directory",
            f"no volume is mounted there into {path}.containers[{position}]: what is saved would go with the pod",
        )
        return
    index, mount = found
    path = f"{path}.containers[{position}].volumeMounts[{index}]"
    if mount.get("readOnly") is True:
        yield FieldError(f"{path}.readOnly", f"must not be true: {_PATH}.directory is there")
    volume = next((each for each in mappings(pod, "volumes") if each.get("name") == mount.get("name")), {})
    own = next((kind for kind in ("emptyDir", "ephemeral") if kind in volume), None)
    if own and _pods(spec) > 1:
        yield FieldError(
            f"{path}.name", f"each pod has an {own} volume of its own, and {_PATH}.directory is shared by all pods"
        )


def _pods(spec: JobSpec) -> int:
    """The most that the job may have."""
    workers = spec.elastic.max_replicas if spec.elastic else spec.worker.replicas
    served = spec.strategy is Strategy.PARAMETER_SERVER and not spec.server.colocated
    return workers + (spec.server.replicas if served else 0)


def _mount(directory: str, mounts: Sequence[Mapping[str, Any]]) -> tuple[int, Mapping[str, Any]] | None:
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
