"""The pod template: what the operator needs of it beyond Kubernetes' own rules, and what it reads from it.

The operator adds its agent, its token and its variables to the trainer container; whatever would collide with these, or
would silently not work, is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trireme.contract import environ, names
from trireme.spec import kubernetes_schema, words
from trireme.spec.errors import FieldError
from trireme.spec.model import Template, TrainingJob

GPU_SUFFIX = "/gpu"
"""Device plugins name whole GPUs `<vendor>/gpu`: nvidia.com/gpu, amd.com/gpu."""
TERMINATION_PATH = "/dev/termination-log"
"""Kubernetes' default, and where the agent leaves its last word."""

TUNED_BY = {
    environ.HOROVOD_FUSION_THRESHOLD: "fusionThresholdBytes",
    environ.HOROVOD_CYCLE_TIME: "cycleTimeMilliseconds",
    environ.HOROVOD_TIMELINE: "timelineFile",
    environ.HOROVOD_GLOO_TIMEOUT: "timeoutSeconds",
}
"""Variables that a field of spec.allReduce sets."""

_GPU_COUNT = re.compile(r"[0-9]{1,4}\Z")
_METADATA = ("labels", "annotations")
_OURS = {
    "hostname": "cannot be set: the operator gives every pod its own",
    "subdomain": "cannot be set: the operator gives the pods one of their job",
    "hostnameOverride": "cannot be set: the pods find each other by the hostnames that the operator gives them",
    "ephemeralContainers": "cannot be set in a template; use `kubectl debug` on a running pod",
}


def trainer_position(containers: Sequence[Mapping[str, Any]]) -> int:
    """Which container trains: the one named `trainer`, else the first."""
    return next((i for i, c in enumerate(containers) if c.get("name") == names.TRAINER_CONTAINER), 0)


def trainer(template: Template) -> Mapping[str, Any]:
    containers = template["spec"]["containers"]
    container: Mapping[str, Any] = containers[trainer_position(containers)]
    return container


def processes_per_replica(job: TrainingJob) -> int:
    """As the user says, else one for each GPU of the trainer, else one."""
    return job.spec.worker.processes_per_replica or _gpus(trainer(job.spec.worker.template)) or 1


def _gpus(container: Mapping[str, Any]) -> int:
    limits = (container.get("resources") or {}).get("limits") or {}
    return sum(int(amount) for name, amount in limits.items() if name.endswith(GPU_SUFFIX))


def check(template: Any, path: str) -> list[FieldError]:
    """Every problem of a pod template. Our own rules are only asked once structure and types are right."""
    problems = list(kubernetes_schema.check("PodTemplateSpec", template, path))
    if problems:
        return problems
    if not template.get("spec"):
        return [FieldError(f"{path}.spec", "is required")]
    return list(_check(template, path))


def _check(template: Template, path: str) -> Iterator[FieldError]:
    for key, value in (template.get("metadata") or {}).items():
        if key not in _METADATA and value is not None:
            yield FieldError(f"{path}.metadata.{key}", "cannot be set: only labels and annotations are used")
    spec: dict[str, Any] = template["spec"]
    path = f"{path}.spec"
    for key, reason in _OURS.items():
        if spec.get(key):
            yield FieldError(f"{path}.{key}", reason)
    if spec.get("restartPolicy") not in (None, "Never"):
        yield FieldError(f"{path}.restartPolicy", "must be Never or left out: the operator decides what is tried again")
    volumes = _list(spec, "volumes")
    yield from _duplicates([volume["name"] for volume in volumes], f"{path}.volumes", ".name")
    for index, volume in enumerate(volumes):
        if volume["name"] in (names.AGENT_VOLUME, names.TOKEN_VOLUME):
            yield FieldError(f"{path}.volumes[{index}].name", "is the operator's own; choose another name")
    containers = _list(spec, "containers")
    if not containers:
        yield FieldError(f"{path}.containers", "needs at least one: the one named `trainer`, else the first, trains")
        return
    known = {volume["name"] for volume in volumes}
    everyone = _list(spec, "initContainers") + containers
    places = [f"initContainers[{i}]" for i in range(len(everyone) - len(containers))]
    places += [f"containers[{i}]" for i in range(len(containers))]
    for place, container in zip(places, everyone, strict=True):
        yield from _check_container(container, known, f"{path}.{place}")
    for place, name in _repeated([container["name"] for container in everyone], places):
        yield FieldError(f"{path}.{place}.name", f'"{name}" is used twice in this pod')
    position = trainer_position(containers)
    yield from _check_trainer(containers[position], f"{path}.containers[{position}]")


def _check_container(container: Mapping[str, Any], volumes: set[str], path: str) -> Iterator[FieldError]:
    if not container.get("image"):
        yield FieldError(f"{path}.image", "is required")
    yield from _duplicates([variable["name"] for variable in _list(container, "env")], f"{path}.env", ".name")
    mounts = _list(container, "volumeMounts")
    yield from _duplicates([mount["mountPath"] for mount in mounts], f"{path}.volumeMounts", ".mountPath")
    for index, mount in enumerate(mounts):
        if mount["name"] not in volumes:
            yield FieldError(f"{path}.volumeMounts[{index}].name", f'no volume is named "{mount["name"]}"')
    yield from _check_gpus(container.get("resources") or {}, f"{path}.resources")


def _check_gpus(resources: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    limits = resources.get("limits") or {}
    requests = resources.get("requests") or {}
    for name, amount in limits.items():
        if name.endswith(GPU_SUFFIX) and not _GPU_COUNT.match(str(amount)):
            yield FieldError(f"{path}.limits[{name}]", f"must be a whole number of GPUs, got {words.describe(amount)}")
    for name, amount in requests.items():
        if name.endswith(GPU_SUFFIX) and str(limits.get(name)) != str(amount):
            yield FieldError(f"{path}.requests[{name}]", f"must equal limits[{name}]: GPUs are not shared")


def _check_trainer(container: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    if not container.get("command"):
        yield FieldError(
            f"{path}.command", "is required: the agent runs it, and an image's ENTRYPOINT cannot be seen from outside"
        )
    if container.get("terminationMessagePath") not in (None, "", TERMINATION_PATH):
        yield FieldError(f"{path}.terminationMessagePath", f"must be {TERMINATION_PATH}: the agent writes there")
    for index, variable in enumerate(_list(container, "env")):
        name = variable["name"]
        if name.startswith(environ.PREFIX):
            yield FieldError(f"{path}.env[{index}].name", f"names with {environ.PREFIX} are the operator's own")
        elif name in TUNED_BY:
            yield FieldError(f"{path}.env[{index}].name", f"is set by spec.allReduce.{TUNED_BY[name]}; use that field")
    for index, mount in enumerate(_list(container, "volumeMounts")):
        for ours in (names.AGENT_MOUNT, names.TOKEN_MOUNT):
            if f"{mount['mountPath'].rstrip('/')}/".startswith(f"{ours}/"):
                yield FieldError(f"{path}.volumeMounts[{index}].mountPath", f"{ours} is the operator's own")


def _duplicates(values: Sequence[str], path: str, field: str) -> Iterator[FieldError]:
    for place, value in _repeated(values, [f"[{i}]" for i in range(len(values))]):
        yield FieldError(f"{path}{place}{field}", f'"{value}" is there twice')


def _repeated(values: Iterable[str], places: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every place whose value an earlier place has."""
    seen: set[str] = set()
    for place, value in zip(places, values, strict=True):
        if value in seen:
            yield place, value
        seen.add(value)


def _list(parent: Mapping[str, Any], key: str) -> list[Any]:
    return parent.get(key) or []
