"""The pod template: what the operator needs of it beyond Kubernetes' own rules, and what it reads from it.

The operator adds its agent, its token and its variables to the trainer container; whatever would collide with these, or
would silently not work, is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trireme.contract import environ, names
from trireme.spec import kubernetes_schema, words
from trireme.spec.errors import FieldError
from trireme.spec.lenient import mapping, mappings, text
from trireme.spec.model import Template, TrainingJob

GPU_SUFFIX = "/gpu"
"""Device plugins name whole GPUs `<vendor>/gpu`: nvidia.com/gpu, amd.com/gpu."""

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
_DECIDES = "the operator decides what is tried again"


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
    limits = mapping(mapping(container, "resources"), "limits")
    return sum(int(amount) for name, amount in limits.items() if name.endswith(GPU_SUFFIX))


def server_template(worker: Template) -> Template:
    """The servers' template when the user gives none: the worker's, its trainer alone, without GPUs and command."""
    spec = worker["spec"]
    container = {key: value for key, value in trainer(worker).items() if key not in ("command", "args")}
    resources = {
        key: {name: amount for name, amount in value.items() if not name.endswith(GPU_SUFFIX)}
        if key in ("limits", "requests")
        else value
        for key, value in (container.get("resources") or {}).items()
    }
    if resources:
        container["resources"] = resources
    return {**worker, "spec": {**spec, "containers": [container]}}


def check(template: Mapping[str, Any], path: str) -> list[FieldError]:
    """Every problem of a worker's template: Kubernetes' structure first, then our rules, one problem a place."""
    return _problems(template, path, command_required=True)


def check_server(template: Mapping[str, Any], path: str) -> list[FieldError]:
    """As `check`; a server has a command of ours when the template has none."""
    return _problems(template, path, command_required=False)


def _problems(template: Mapping[str, Any], path: str, *, command_required: bool) -> list[FieldError]:
    structure = list(kubernetes_schema.check("PodTemplateSpec", template, path))
    said = {problem.path for problem in structure}
    ours = _check(template, path, command_required)
    return structure + [problem for problem in ours if not _covered(problem.path, said)]


def _covered(path: str, said: set[str]) -> bool:
    """Whether something is wrong at the place itself or around it, so that the rest follows from that."""
    ends = [match.start() for match in re.finditer(r"[.\[]", path)]
    return any(path[:end] in said for end in (*ends, len(path)))


def _check(template: Mapping[str, Any], path: str, command_required: bool) -> Iterator[FieldError]:
    """Our rules. They take the template as it comes: what is not of the type they need is absent to them."""
    for key, value in mapping(template, "metadata").items():
        if key not in _METADATA and value is not None:
            yield FieldError(f"{path}.metadata.{key}", "cannot be set: only labels and annotations are used")
    spec = mapping(template, "spec")
    path = f"{path}.spec"
    if not spec:
        yield FieldError(path, "is required")
        return
    for key, reason in _OURS.items():
        if spec.get(key):
            yield FieldError(f"{path}.{key}", reason)
    if spec.get("restartPolicy") not in (None, "Never"):
        yield FieldError(f"{path}.restartPolicy", f"must be Never or left out: {_DECIDES}")
    volumes = [text(volume, "name") for volume in mappings(spec, "volumes")]
    yield from _duplicates(volumes, [f"{path}.volumes[{i}].name" for i in range(len(volumes))])
    for index, name in enumerate(volumes):
        if name in (names.AGENT_VOLUME, names.TOKEN_VOLUME, names.SHARED_MEMORY_VOLUME):
            yield FieldError(f"{path}.volumes[{index}].name", "is the operator's own; choose another name")
    yield from _check_containers(spec, set(volumes), path, command_required)


def _check_containers(
    spec: Mapping[str, Any], volumes: set[str], path: str, command_required: bool
) -> Iterator[FieldError]:
    containers = mappings(spec, "containers")
    if not containers:
        yield FieldError(f"{path}.containers", "needs at least one: the one named `trainer`, else the first, trains")
        return
    everyone = [
        (container, f"{path}.{key}[{index}]")
        for key in ("initContainers", "containers")
        for index, container in enumerate(mappings(spec, key))
    ]
    yield from _duplicates([text(container, "name") for container, _ in everyone], [f"{p}.name" for _, p in everyone])
    for container, place in everyone:
        yield from _check_container(container, volumes, place)
    position = trainer_position(containers)
    yield from _check_trainer(containers[position], f"{path}.containers[{position}]", command_required)


def _check_container(container: Mapping[str, Any], volumes: set[str], path: str) -> Iterator[FieldError]:
    if not container.get("image"):
        yield FieldError(f"{path}.image", "is required")
    variables = [text(variable, "name") for variable in mappings(container, "env")]
    yield from _duplicates(variables, [f"{path}.env[{i}].name" for i in range(len(variables))])
    mounts = mappings(container, "volumeMounts")
    places = [text(mount, "mountPath") for mount in mounts]
    yield from _duplicates(places, [f"{path}.volumeMounts[{i}].mountPath" for i in range(len(places))])
    for index, mount in enumerate(mounts):
        name = text(mount, "name")
        if name and name not in volumes:
            yield FieldError(f"{path}.volumeMounts[{index}].name", f'no volume is named "{words.shown(name)}"')
    yield from _check_gpus(mapping(container, "resources"), f"{path}.resources")


def _check_gpus(resources: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    limits = mapping(resources, "limits")
    for name, amount in limits.items():
        if name.endswith(GPU_SUFFIX) and not _GPU_COUNT.match(str(amount)):
            yield FieldError(f"{path}.limits[{name}]", f"must be a whole number of GPUs, got {words.describe(amount)}")
    for name, amount in mapping(resources, "requests").items():
        if name.endswith(GPU_SUFFIX) and str(limits.get(name)) != str(amount):
            yield FieldError(f"{path}.requests[{name}]", f"must equal limits[{name}]: GPUs are not shared")


def _check_trainer(container: Mapping[str, Any], path: str, command_required: bool) -> Iterator[FieldError]:
    if command_required and not container.get("command"):
        yield FieldError(
            f"{path}.command", "is required: the agent runs it, and an image's ENTRYPOINT cannot be seen from outside"
        )
    if container.get("restartPolicy") not in (None, "", "Never"):
        yield FieldError(f"{path}.restartPolicy", f"must be Never or left out: {_DECIDES}")
    if container.get("restartPolicyRules"):
        yield FieldError(f"{path}.restartPolicyRules", f"cannot be set: {_DECIDES}")
    if container.get("terminationMessagePath") not in (None, "", environ.TERMINATION_PATH):
        yield FieldError(
            f"{path}.terminationMessagePath", f"must be {environ.TERMINATION_PATH}: the agent writes there"
        )
    for index, variable in enumerate(mappings(container, "env")):
        name = text(variable, "name")
        if name.startswith(environ.PREFIX):
            yield FieldError(f"{path}.env[{index}].name", f"names with {environ.PREFIX} are the operator's own")
        elif name in environ.PROCESS_KEYS:
            yield FieldError(f"{path}.env[{index}].name", "is given to every process by the agent; leave it out")
        elif name in TUNED_BY:
            yield FieldError(f"{path}.env[{index}].name", f"is set by spec.allReduce.{TUNED_BY[name]}; use that field")
    for index, mount in enumerate(mappings(container, "volumeMounts")):
        for ours in (names.AGENT_MOUNT, names.TOKEN_MOUNT):
            if f"{text(mount, 'mountPath').rstrip('/')}/".startswith(f"{ours}/"):
                yield FieldError(f"{path}.volumeMounts[{index}].mountPath", f"{ours} is the operator's own")


def _duplicates(values: Sequence[str], paths: Sequence[str]) -> Iterator[FieldError]:
    """A problem at every path whose value an earlier one has."""
    first: dict[str, str] = {}
    for value, path in zip(values, paths, strict=True):
        if value and value in first:
            yield FieldError(path, f'"{words.shown(value)}" is already at {first[value]}')
        first.setdefault(value, path)
