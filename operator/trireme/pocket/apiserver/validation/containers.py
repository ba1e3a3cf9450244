"""The containers of a pod: defaults and rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from trireme.pocket.apiserver.quantity import parse_quantity
from trireme.pocket.apiserver.validation import checks
from trireme.pocket.objects import causes, names
from trireme.pocket.objects.causes import Cause

Object = dict[str, Any]

NEGATIVE: Final = "must be greater than or equal to 0"
_PORT_RANGE: Final = "must be between 1 and 65535, inclusive"
_MANY_SOURCES: Final = "may not have more than one field specified at a time"
_NO_SOURCE: Final = (
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
)
_STANDARD: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_DEFAULTS: Final = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def every(spec: Object) -> Iterator[Object]:
    """The containers of a pod's spec, the initial ones first."""
    yield from spec.get("initContainers", ())
    yield from spec.get("containers", ())


def default(container: Object, *, host_network: bool) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    tag = container.get("image", "").rpartition("/")[2].partition(":")[2]
    container.setdefault("imagePullPolicy", "Always" if tag in ("", "latest") else "IfNotPresent")
    resources = container.setdefault("resources", {})
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **resources.get("requests", {})}
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if host_network:
            port.setdefault("hostPort", port.get("containerPort"))
    for variable in container.get("env", ()):
        reference = variable.get("valueFrom", {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
    for name in _PROBES:
        if name in container:
            _default_probe(container[name])


def validate_all(spec: Object, volumes: set[str]) -> list[Cause]:
    """The causes of all containers; a name is used once among all of them."""
    if not spec.get("containers"):
        return [causes.required("spec.containers")]
    found: list[Cause] = []
    seen: set[str] = set()
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field, ())):
            at = f"spec.{field}[{index}]"
            name = container.get("name")
            if name in seen:
                found.append(causes.duplicate(f"{at}.name", name))
            seen.add(name)
            found += _validate(container, at, volumes)
    return found


def _validate(container: Object, at: str, volumes: set[str]) -> list[Cause]:
    found = checks.checked(f"{at}.name", container.get("name"), names.dns_label)
    image = container.get("image", "")
    if not image:
        found.append(causes.required(f"{at}.image"))
    elif image != image.strip():
        found.append(causes.invalid(f"{at}.image", image, "must not have leading or trailing whitespace"))
    found += checks.one_of(f"{at}.imagePullPolicy", container["imagePullPolicy"], ("Always", "IfNotPresent", "Never"))
    policies = ("FallbackToLogsOnError", "File")
    found += checks.one_of(f"{at}.terminationMessagePolicy", container["terminationMessagePolicy"], policies)
    found += _ports(container.get("ports", ()), f"{at}.ports")
    found += _environment(container.get("env", ()), f"{at}.env")
    found += _mounts(container.get("volumeMounts", ()), f"{at}.volumeMounts", volumes)
    return found + _resources(container["resources"], f"{at}.resources")


def _ports(ports: list[Object], at: str) -> list[Cause]:
    found = checks.duplicates(at, (port for port in ports if port.get("name")), "name")
    for index, port in enumerate(ports):
        number = port.get("containerPort")
        if number is None:
            found.append(causes.required(f"{at}[{index}].containerPort"))
        elif not 1 <= number <= 65535:
            found.append(causes.invalid(f"{at}[{index}].containerPort", number, _PORT_RANGE))
        found += checks.checked(f"{at}[{index}].name", port.get("name"), names.port_name, needed=False)
        found += checks.one_of(f"{at}[{index}].protocol", port["protocol"], ("SCTP", "TCP", "UDP"))
    return found


def _environment(variables: list[Object], at: str) -> list[Cause]:
    """A name may repeat: the last one wins, as in a real cluster."""
    found = []
    for index, variable in enumerate(variables):
        found += checks.checked(f"{at}[{index}].name", variable.get("name"), names.environment_name)
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            why = "may not be specified when `value` is not empty"
            found.append(causes.invalid(f"{at}[{index}].valueFrom", "", why))
        if len(source) != 1:
            found.append(causes.invalid(f"{at}[{index}].valueFrom", "", _MANY_SOURCES if source else _NO_SOURCE))
    return found


def _mounts(mounts: list[Object], at: str, volumes: set[str]) -> list[Cause]:
    found = []
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        name, path = mount.get("name"), mount.get("mountPath")
        if not name:
            found.append(causes.required(f"{at}[{index}].name"))
        elif name not in volumes:
            found.append(Cause("FieldValueNotFound", f"{at}[{index}].name", f'Not found: "{name}"'))
        if not path:
            found.append(causes.required(f"{at}[{index}].mountPath"))
        elif path in seen:
            found.append(causes.invalid(f"{at}[{index}].mountPath", path, "must be unique"))
        else:
            seen.add(path)
    return found


def _resources(resources: Object, at: str) -> list[Cause]:
    found = []
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for side, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            field = f"{at}.{side}[{name}]"
            value = parse_quantity(str(amount))
            if problem := names.label_key(name):
                found.append(causes.invalid(field, name, problem))
            elif "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
                found.append(causes.invalid(field, name, "must be a standard resource for containers"))
            if value < 0:
                found.append(causes.invalid(field, str(amount), NEGATIVE))
            elif "/" in name and value.denominator != 1:
                found.append(causes.invalid(field, str(amount), "must be an integer"))
    for name, amount in requests.items():
        field = f"{at}.requests"
        limit = limits.get(name)
        if limit is None:
            if "/" in name:
                found.append(causes.required(f"{at}.limits", "Limit must be set for non overcommitable resources"))
        elif parse_quantity(str(amount)) > parse_quantity(str(limit)):
            found.append(causes.invalid(field, str(amount), f"must be less than or equal to {name} limit of {limit}"))
        elif "/" in name and parse_quantity(str(amount)) != parse_quantity(str(limit)):
            found.append(causes.invalid(field, str(amount), f"must be equal to {name} limit of {limit}"))
    return found


def _default_probe(probe: Object) -> None:
    for key, value in _PROBE_DEFAULTS.items():
        probe.setdefault(key, value)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
        probe["httpGet"].setdefault("scheme", "HTTP")
