"""The tables of built-in kinds, column for column as `kubectl get` prints them against a real API server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from trireme.pocket.objects.ages import UNKNOWN, age
from trireme.pocket.objects.pod_status import summarize
from trireme.pocket.objects.table import AGE, GENERIC, NAME, Column, Layout

_NONE: Final = "<none>"
_CREATED: Final = Column("Created At", description="When the object was created.")


def layout(kind: str) -> Layout:
    """The layout of a built-in kind; name and age for one without columns of its own."""
    return _LAYOUTS.get(kind, GENERIC)


def _wide(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, priority=1) for name in names)


def _name(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["name"])


def _age(obj: Mapping[str, Any], now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _pairs(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or _NONE


def _pod(pod: Mapping[str, Any], now: datetime) -> list[Any]:
    spec, status, summary = pod.get("spec", {}), pod.get("status", {}), summarize(pod, now)
    gates = [gate["conditionType"] for gate in spec.get("readinessGates", [])]
    passed = {item["type"] for item in status.get("conditions", []) if item.get("status") == "True"}
    return [
        _name(pod), summary.ready, summary.status, summary.restarts, _age(pod, now),
        status.get("podIP") or _NONE, spec.get("nodeName") or _NONE, status.get("nominatedNodeName") or _NONE,
        f"{len(passed.intersection(gates))}/{len(gates)}" if gates else _NONE,
    ]  # fmt: skip


def _service(service: Mapping[str, Any], now: datetime) -> list[Any]:
    spec = service.get("spec", {})
    ports = ",".join(
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol', 'TCP')}"
        for port in spec.get("ports", [])
    )
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    external = [*(item.get("ip") or item.get("hostname", "") for item in ingress), *spec.get("externalIPs", [])]
    if spec.get("type") == "ExternalName":
        external = [spec.get("externalName", "")]
    pending = "<pending>" if spec.get("type") == "LoadBalancer" else _NONE
    return [
        _name(service), spec.get("type", "ClusterIP"), spec.get("clusterIP") or _NONE, ",".join(external) or pending,
        ports or _NONE, _age(service, now), _pairs(spec.get("selector")),
    ]  # fmt: skip


def _event(event: Mapping[str, Any], now: datetime) -> list[Any]:
    about, source, series = (event.get(key) or {} for key in ("involvedObject", "source", "series"))
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    component = source.get("component") or event.get("reportingComponent", "")
    host = source.get("host") or event.get("reportingInstance", "")
    first_seen, last_seen = age(first, now), age(last, now)
    count = series.get("count") or event.get("count") or 1
    seen = f"{last_seen} (x{count} over {first_seen})" if count > 1 and first_seen != UNKNOWN else last_seen
    return [
        seen, event.get("type", ""), event.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}", about.get("fieldPath", ""),
        ", ".join(filter(None, (component, host))), event.get("message", "").strip(), first_seen, count, _name(event),
    ]  # fmt: skip


def _node(node: Mapping[str, Any], now: datetime) -> list[Any]:
    status, labels = node.get("status", {}), node["metadata"].get("labels", {})
    ready = next((item["status"] for item in status.get("conditions", []) if item["type"] == "Ready"), None)
    word = {"True": "Ready", None: "Unknown"}.get(ready, "NotReady")
    if node.get("spec", {}).get("unschedulable"):
        word += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix) and key != prefix)
    addresses = {item["type"]: item["address"] for item in status.get("addresses", [])}
    info = status.get("nodeInfo", {})
    return [
        _name(node), word, ",".join(roles) or _NONE, _age(node, now), info.get("kubeletVersion", ""),
        addresses.get("InternalIP", _NONE), addresses.get("ExternalIP", _NONE), info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN, info.get("containerRuntimeVersion") or UNKNOWN,
    ]  # fmt: skip


def _deployment(deployment: Mapping[str, Any], now: datetime) -> list[Any]:
    spec, status = deployment.get("spec", {}), deployment.get("status", {})
    containers = spec.get("template", {}).get("spec", {}).get("containers", [])
    return [
        _name(deployment), f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0), status.get("availableReplicas", 0), _age(deployment, now),
        ",".join(item["name"] for item in containers), ",".join(item.get("image", "") for item in containers),
        _selector(spec.get("selector", {})),
    ]  # fmt: skip


def _selector(selector: Mapping[str, Any]) -> str:
    return _pairs(selector.get("matchLabels"))


def _binding(binding: Mapping[str, Any], now: datetime) -> list[Any]:
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in binding.get("subjects", []):
        namespace = f"{subject['namespace']}/" if "namespace" in subject else ""
        subjects[subject["kind"]].append(f"{namespace}{subject['name']}")
    role = binding.get("roleRef", {})
    told = (", ".join(names) for names in subjects.values())
    return [_name(binding), f"{role.get('kind')}/{role.get('name')}", _age(binding, now), *told]


_BINDING: Final = Layout((NAME, Column("Role"), AGE, *_wide("Users", "Groups", "ServiceAccounts")), _binding)
_ROLE: Final = Layout((NAME, _CREATED), lambda obj, now: [_name(obj), obj["metadata"].get("creationTimestamp")])


def _claim(claim: Mapping[str, Any], now: datetime) -> list[Any]:
    spec, status = claim.get("spec", {}), claim.get("status", {})
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    modes = ",".join(short.get(mode, mode) for mode in status.get("accessModes", ()))
    return [
        _name(claim), status.get("phase", ""), spec.get("volumeName", ""),
        status.get("capacity", {}).get("storage", ""), modes, spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>", _age(claim, now), spec.get("volumeMode", ""),
    ]  # fmt: skip


def _budget(budget: Mapping[str, Any], now: datetime) -> list[Any]:
    spec = budget.get("spec", {})
    allowed = budget.get("status", {}).get("disruptionsAllowed", 0)
    limits = (str(spec.get(key, "N/A")) for key in ("minAvailable", "maxUnavailable"))
    return [_name(budget), *limits, allowed, _age(budget, now)]


_LAYOUTS: Final[Mapping[str, Layout]] = {
    "Pod": Layout(
        (NAME, Column("Ready"), Column("Status"), Column("Restarts"), AGE,
         *_wide("IP", "Node", "Nominated Node", "Readiness Gates")),
        _pod,
    ),
    "Service": Layout(
        (NAME, Column("Type"), Column("Cluster-IP"), Column("External-IP"), Column("Port(s)"), AGE, *_wide("Selector")),
        _service,
    ),
    "ConfigMap": Layout(
        (NAME, Column("Data"), AGE),
        lambda obj, now: [_name(obj), len(obj.get("data", {})) + len(obj.get("binaryData", {})), _age(obj, now)],
    ),
    "Secret": Layout(
        (NAME, Column("Type"), Column("Data", "integer"), AGE),
        lambda obj, now: [_name(obj), obj.get("type", ""), len(obj.get("data", {})), _age(obj, now)],
    ),
    "Event": Layout(
        (Column("Last Seen"), Column("Type"), Column("Reason"), Column("Object"), *_wide("Subobject", "Source"),
         Column("Message"), *_wide("First Seen"), Column("Count", "integer", priority=1),
         Column("Name", format="name", priority=1)),
        _event,
    ),
    "Node": Layout(
        (NAME, Column("Status"), Column("Roles"), AGE, Column("Version"),
         *_wide("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime")),
        _node,
    ),
    "Namespace": Layout(
        (NAME, Column("Status"), AGE),
        lambda obj, now: [_name(obj), obj.get("status", {}).get("phase", ""), _age(obj, now)],
    ),
    "Lease": Layout(
        (NAME, Column("Holder"), AGE),
        lambda obj, now: [_name(obj), obj.get("spec", {}).get("holderIdentity") or "", _age(obj, now)],
    ),
    "PersistentVolumeClaim": Layout(
        (NAME, Column("Status"), Column("Volume"), Column("Capacity"), Column("Access Modes"), Column("StorageClass"),
         Column("VolumeAttributesClass"), AGE, Column("VolumeMode", priority=1)),
        _claim,
    ),
    "ServiceAccount": Layout(
        (NAME, Column("Secrets"), AGE), lambda obj, now: [_name(obj), len(obj.get("secrets", [])), _age(obj, now)]
    ),
    "Deployment": Layout(
        (NAME, Column("Ready"), Column("Up-to-date"), Column("Available"), AGE,
         *_wide("Containers", "Images", "Selector")),
        _deployment,
    ),
    "PodDisruptionBudget": Layout(
        (NAME, Column("Min Available"), Column("Max Unavailable"), Column("Allowed Disruptions", "integer"), AGE),
        _budget,
    ),
    "PriorityClass": Layout(
        (NAME, Column("Value", "integer"), Column("Global-Default", "boolean"), AGE, Column("PreemptionPolicy")),
        lambda obj, now: [_name(obj), obj.get("value", 0), bool(obj.get("globalDefault")), _age(obj, now),
                          obj.get("preemptionPolicy", "PreemptLowerPriority")],
    ),
    "NetworkPolicy": Layout(
        (NAME, Column("Pod-Selector"), AGE),
        lambda obj, now: [_name(obj), _selector(obj.get("spec", {}).get("podSelector", {})), _age(obj, now)],
    ),
    "CustomResourceDefinition": _ROLE,
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
}  # fmt: skip
