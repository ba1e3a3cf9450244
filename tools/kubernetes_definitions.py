"""JSON schemas of the Kubernetes objects that Trireme makes, taken from the `kubernetes` client's models.

The result is operator/trireme/spec/data/kubernetes.json. The models know structure and types; the few limits that the
API server also enforces and that users get wrong are listed here, from the Kubernetes API reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from kubernetes.client import models
from pydantic import BaseModel
from pydantic.fields import FieldInfo

KINDS = (
    "V1ConfigMap", "V1NetworkPolicy", "V1Pod", "V1PodDisruptionBudget", "V1PodTemplateSpec", "V1Secret", "V1Service",
)  # fmt: skip

QUANTITY: dict[str, Any] = {"type": ["string", "number"], "format": "quantity"}
QUANTITIES = {
    "ContainerStatus.allocatedResources",
    "EmptyDirVolumeSource.sizeLimit",
    "PodSpec.overhead",
    "ResourceFieldSelector.divisor",
    "ResourceRequirements.limits",
    "ResourceRequirements.requests",
    "VolumeResourceRequirements.limits",
    "VolumeResourceRequirements.requests",
}

PORT = {"minimum": 1, "maximum": 65535}
NATURAL = {"minimum": 0}
FILE_MODE = {"minimum": 0, "maximum": 0o777}
POSITIVE = {"minimum": 1}
LIMITS: dict[str, dict[str, Any]] = {
    "ConfigMapVolumeSource.defaultMode": FILE_MODE,
    "Container.imagePullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "Container.terminationMessagePolicy": {"enum": ["FallbackToLogsOnError", "File"]},
    "ContainerPort.containerPort": PORT,
    "ContainerPort.hostPort": {"minimum": 0, "maximum": 65535},
    "ContainerPort.protocol": {"enum": ["SCTP", "TCP", "UDP"]},
    "DownwardAPIVolumeFile.mode": FILE_MODE,
    "DownwardAPIVolumeSource.defaultMode": FILE_MODE,
    "KeyToPath.mode": FILE_MODE,
    "PodSpec.activeDeadlineSeconds": POSITIVE,
    "PodSpec.dnsPolicy": {"enum": ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]},
    "PodSpec.preemptionPolicy": {"enum": ["Never", "PreemptLowerPriority"]},
    "PodSpec.restartPolicy": {"enum": ["Always", "Never", "OnFailure"]},
    "PodSecurityContext.fsGroup": NATURAL,
    "PodSecurityContext.runAsGroup": NATURAL,
    "PodSecurityContext.runAsUser": NATURAL,
    "Probe.failureThreshold": NATURAL,
    "Probe.initialDelaySeconds": NATURAL,
    "Probe.periodSeconds": NATURAL,
    "Probe.successThreshold": NATURAL,
    "Probe.timeoutSeconds": NATURAL,
    "ProjectedVolumeSource.defaultMode": FILE_MODE,
    "SecretVolumeSource.defaultMode": FILE_MODE,
    "SecurityContext.runAsGroup": NATURAL,
    "SecurityContext.runAsUser": NATURAL,
    "ServicePort.port": PORT,
    "Toleration.effect": {"enum": ["NoExecute", "NoSchedule", "PreferNoSchedule"]},
    "TopologySpreadConstraint.maxSkew": POSITIVE,
    "TopologySpreadConstraint.whenUnsatisfiable": {"enum": ["DoNotSchedule", "ScheduleAnyway"]},
}

SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    bytes: {"type": "string", "format": "byte"},
    datetime: {"type": "string", "format": "date-time"},
    Any: {},
    object: {},
}


def text() -> str:
    """The data file: one definition a line, so that a new Kubernetes version gives a readable diff."""
    lines = [
        f'    "{name}": {json.dumps(definition, sort_keys=True)}' for name, definition in sorted(definitions(KINDS))
    ]
    return '{\n  "definitions": {\n' + ",\n".join(lines) + "\n  }\n}\n"


def definitions(kinds: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and schema of each of these models of the client (`V1Pod`) and of all that they refer to."""
    waiting = [getattr(models, kind) for kind in kinds]
    seen = set(waiting)
    while waiting:
        model = waiting.pop()
        properties = {}
        required = []
        for attribute, field in model.model_fields.items():
            key = field.serialization_alias or attribute
            properties[key] = _property(f"{_name(model)}.{key}", field)
            if field.is_required():
                required.append(key)
            new = set(_models(field.annotation)) - seen
            seen |= new
            waiting += sorted(new, key=_name)
        definition = {"type": "object", "additionalProperties": False, "properties": properties}
        yield _name(model), {**definition, "required": sorted(required)} if required else definition


def _property(place: str, field: FieldInfo) -> dict[str, Any]:
    schema = _schema(field.annotation)
    if place in QUANTITIES:
        schema = {**schema, "additionalProperties": QUANTITY} if schema["type"] == "object" else QUANTITY
    return {**schema, **LIMITS.get(place, {})}


def _schema(annotation: Any) -> dict[str, Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _schema(get_args(annotation)[0])
    if origin in (Union, UnionType):
        arms = [_schema(arm) for arm in get_args(annotation) if arm is not NoneType]
        kinds = sorted({arm["type"] for arm in arms if "type" in arm})
        return {"type": kinds} if len(kinds) > 1 else arms[0]
    if origin is list:
        return {"type": "array", "items": _schema(get_args(annotation)[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(get_args(annotation)[1])}
    if annotation in SCALARS:
        return SCALARS[annotation]
    return {"$ref": f"#/definitions/{_name(annotation)}"}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        if not isinstance(argument, FieldInfo):
            yield from _models(argument)


def _name(model: type[BaseModel]) -> str:
    """`V1PodSpec` is PodSpec; the API group in a name is dropped too, as no two that are used here collide."""
    return re.sub(r"^[A-Za-z]*?V\d+(?=[A-Z])", "", model.__name__)
