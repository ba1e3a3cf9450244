"""A container's environment and command line, resolved as the kubelet resolves them. Pure: no API, no files.

Rules: Kubernetes API reference, core/v1 EnvVar, EnvFromSource, Container.command and the `$(NAME)` syntax.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Any

from trireme.pocket.apiserver.quantity import parse_quantity

Object = dict[str, Any]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]\Z")


class ConfigurationError(Exception):
    """What the container refers to is not there (yet), in the kubelet's words."""


@dataclass(frozen=True)
class Sources:
    """The ConfigMaps and Secrets of the pod's namespace that it refers to, by name; absent ones are left out."""

    config_maps: Mapping[str, Object] = field(default_factory=dict)
    secrets: Mapping[str, Object] = field(default_factory=dict)

    def config_map(self, reference: Object) -> dict[str, bytes] | None:
        """Keys and values. None when it is absent but optional; raises ConfigurationError when it is needed."""
        found = _find("configmap", self.config_maps, reference)
        if found is None:
            return None
        texts = {key: text.encode() for key, text in (found.get("data") or {}).items()}
        return texts | {key: b64decode(text) for key, text in (found.get("binaryData") or {}).items()}

    def secret(self, reference: Object) -> dict[str, bytes] | None:
        """As `config_map`."""
        found = _find("secret", self.secrets, reference)
        return None if found is None else {k: b64decode(text) for k, text in (found.get("data") or {}).items()}


def _find(kind: str, objects: Mapping[str, Object], reference: Object) -> Object | None:
    name = reference.get("name") or reference.get("secretName", "")
    if name not in objects and not reference.get("optional"):
        raise ConfigurationError(f'{kind} "{name}" not found')
    return objects.get(name)


@dataclass(frozen=True)
class PodFacts:
    """What the downward API tells beside the pod's own manifest."""

    pod: Object
    pod_ip: str
    host_ip: str
    allocatable: Mapping[str, str]
    """Of the node: the limit of a container that names none."""

    def field(self, path: str) -> str:
        """Value of a fieldRef. Raises ConfigurationError."""
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        plain: dict[str, Callable[[], str]] = {
            "metadata.name": lambda: metadata["name"],
            "metadata.namespace": lambda: metadata["namespace"],
            "metadata.uid": lambda: metadata["uid"],
            "metadata.labels": lambda: _pairs(metadata.get("labels") or {}),
            "metadata.annotations": lambda: _pairs(metadata.get("annotations") or {}),
            "spec.nodeName": lambda: spec.get("nodeName", ""),
            "spec.serviceAccountName": lambda: spec.get("serviceAccountName", ""),
            "status.podIP": lambda: self.pod_ip,
            "status.podIPs": lambda: self.pod_ip,
            "status.hostIP": lambda: self.host_ip,
            "status.hostIPs": lambda: self.host_ip,
        }
        if path in plain:
            return plain[path]()
        subscript = _SUBSCRIPT.match(path)
        if subscript is None:
            raise ConfigurationError(f"unsupported fieldPath: {path}")
        return str((metadata.get(subscript[1]) or {}).get(subscript[2], ""))

    def resource(self, reference: Object, default: Object) -> str:
        """Value of a resourceFieldRef, rounded up in units of its divisor. Raises ConfigurationError."""
        kind, _, resource = reference["resource"].partition(".")
        container = default
        if name := reference.get("containerName"):
            container = _container(self.pod, name)
        resources = container.get("resources") or {}
        limits = resources.get("limits") or {}
        values = {**self.allocatable, **limits} if kind == "limits" else {**limits, **(resources.get("requests") or {})}
        divisor = parse_quantity(str(reference.get("divisor") or "1")) or Fraction(1)
        return str(ceil(parse_quantity(str(values.get(resource, "0"))) / divisor))


def _container(pod: Object, name: str) -> Object:
    for container in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]:
        if container["name"] == name:
            return dict(container)
    raise ConfigurationError(f"container {name} not found")


def _pairs(values: Mapping[str, str]) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    return "\n".join(f"{key}={quoted(values[key])}" for key in sorted(values))


def references(pod: Object) -> tuple[set[str], set[str]]:
    """Names of the ConfigMaps and of the Secrets that a pod's containers and volumes refer to."""
    config_maps, secrets = set(), set()
    spec = pod["spec"]
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        for source in [v.get("valueFrom") or {} for v in container.get("env") or []] + (container.get("envFrom") or []):
            config_maps |= {ref["name"] for key in ("configMapKeyRef", "configMapRef") if (ref := source.get(key))}
            secrets |= {ref["name"] for key in ("secretKeyRef", "secretRef") if (ref := source.get(key))}
    for volume in spec.get("volumes") or []:
        for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
            if config_map := source.get("configMap"):
                config_maps.add(config_map["name"])
            if secret := source.get("secret"):
                secrets.add(secret.get("secretName") or secret["name"])
    return config_maps, secrets


def resolve(container: Object, facts: PodFacts, sources: Sources) -> dict[str, str]:
    """The variables that the container's manifest gives it. Raises ConfigurationError."""
    result: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        if "configMapRef" in source:
            data = sources.config_map(source["configMapRef"])
        else:
            data = sources.secret(source["secretRef"])
        prefix = source.get("prefix", "")
        result |= {prefix + key: _text(value) for key, value in (data or {}).items()}
    for variable in container.get("env") or []:
        value = _value(variable, container, facts, sources, result)
        if value is not None:
            result[variable["name"]] = value
    return result


def _value(
    variable: Object, container: Object, facts: PodFacts, sources: Sources, known: Mapping[str, str]
) -> str | None:
    match variable.get("valueFrom") or {}:
        case {"fieldRef": reference}:
            return facts.field(reference["fieldPath"])
        case {"resourceFieldRef": reference}:
            return facts.resource(reference, container)
        case {"configMapKeyRef": reference}:
            return _keyed("ConfigMap", reference, sources.config_map(reference), facts)
        case {"secretKeyRef": reference}:
            return _keyed("Secret", reference, sources.secret(reference), facts)
    return expand(variable.get("value") or "", known)


def _keyed(kind: str, reference: Object, data: dict[str, bytes] | None, facts: PodFacts) -> str | None:
    if data is not None and reference["key"] in data:
        return _text(data[reference["key"]])
    if reference.get("optional"):
        return None
    where = f"{facts.field('metadata.namespace')}/{reference['name']}"
    raise ConfigurationError(f"couldn't find key {reference['key']} in {kind} {where}")


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` becomes the variable's value and stays as it is when there is none; `$$` is one dollar."""

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        return "$" if name is None else variables.get(name, match[0])

    return _REFERENCE.sub(replaced, text)


def command_line(container: Object, variables: Mapping[str, str]) -> list[str]:
    """Command and arguments, expanded."""
    words: Iterable[str] = [*(container.get("command") or []), *(container.get("args") or [])]
    return [expand(word, variables) for word in words]
