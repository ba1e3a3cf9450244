"""Pods: defaults, first status, rules, and which changes of a spec are allowed."""

from __future__ import annotations

from typing import Any, Final

from trireme.pocket.apiserver.validation import checks, containers
from trireme.pocket.objects import causes, names
from trireme.pocket.objects.causes import Cause

Object = dict[str, Any]

_SPEC_DEFAULTS: Final = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "serviceAccountName": "default",
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
    "preemptionPolicy": "PreemptLowerPriority",
    "priority": 0,
}
_NODE_TOLERATIONS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_DNS_POLICIES: Final = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_EFFECTS: Final = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")
_MODE: Final = 0o644
_IMMUTABLE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def default(pod: Object) -> None:
    spec = pod.get("spec")
    if spec is None:
        return
    for key, value in _SPEC_DEFAULTS.items():
        spec.setdefault(key, value)
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    spec.setdefault("securityContext", {})
    for container in containers.every(spec):
        containers.default(container, host_network=bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes", ()):
        _default_volume(volume)
    tolerations = spec.setdefault("tolerations", [])
    for key in _NODE_TOLERATIONS:
        if not any(toleration.get("key") in (key, None) for toleration in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})


def initialize(pod: Object) -> None:
    pod["status"] = {"phase": "Pending", "qosClass": _qos_class(pod.get("spec", {}))}


def validate(pod: Object) -> list[Cause]:
    spec = pod.get("spec")
    if spec is None:
        return [causes.required("spec.containers")]
    found = checks.one_of("spec.restartPolicy", spec["restartPolicy"], ("Always", "Never", "OnFailure"))
    found += checks.one_of("spec.dnsPolicy", spec["dnsPolicy"], _DNS_POLICIES)
    for field in ("hostname", "subdomain"):
        found += checks.checked(f"spec.{field}", spec.get(field), names.dns_label, needed=False)
    found += _volumes(spec.get("volumes", []))
    found += containers.validate_all(spec, {volume.get("name") for volume in spec.get("volumes", ())})
    grace = spec["terminationGracePeriodSeconds"]
    if grace < 0:
        found.append(causes.invalid("spec.terminationGracePeriodSeconds", grace, containers.NEGATIVE))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        why = "must be between 1 and 2147483647, inclusive"
        found.append(causes.invalid("spec.activeDeadlineSeconds", deadline, why))
    for key, value in spec.get("nodeSelector", {}).items():
        if problem := names.label_key(key) or names.label_value(value):
            found.append(causes.invalid("spec.nodeSelector", key, problem))
    return found + _tolerations(spec["tolerations"])


def validate_update(new: Object, old: Object) -> list[Cause]:
    """Refuses every change of a spec but those that a kubelet can follow, and the binding to a node."""
    if _mutable_masked(new["spec"], old["spec"]) != old["spec"]:
        return [causes.forbidden("spec", _IMMUTABLE)]
    return []


def _mutable_masked(new: Object, old: Object) -> Object:
    """The new spec with what may change put back to the old."""
    masked = dict(new)
    for field in ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "schedulingGates", "nodeName"):
        if field == "terminationGracePeriodSeconds" and old[field] >= 0:
            continue
        if field == "schedulingGates" and len(new.get(field, ())) > len(old.get(field, ())):
            continue
        if field == "nodeName" and old.get(field):
            continue
        masked.pop(field, None)
        if field in old:
            masked[field] = old[field]
    if new["tolerations"][: len(old["tolerations"])] == old["tolerations"]:
        masked["tolerations"] = old["tolerations"]
    for field in ("containers", "initContainers"):
        if len(new.get(field, ())) == len(old.get(field, ())) and field in new:
            masked[field] = [
                {**mine, "image": before["image"]} for mine, before in zip(new[field], old[field], strict=True)
            ]
    return masked


def _default_volume(volume: Object) -> None:
    if not any(key != "name" for key in volume):
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "projected", "downwardAPI"):
        if source in volume:
            volume[source].setdefault("defaultMode", _MODE)
    for item in volume.get("downwardAPI", {}).get("items", ()):
        item.get("fieldRef", {}).setdefault("apiVersion", "v1")
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")


def _volumes(volumes: list[Object]) -> list[Cause]:
    found = checks.duplicates("spec.volumes", volumes, "name")
    for index, volume in enumerate(volumes):
        found += checks.checked(f"spec.volumes[{index}].name", volume.get("name"), names.dns_label)
        sources = [key for key in volume if key != "name"]
        if len(sources) > 1:
            why = "may not specify more than 1 volume type"
            found.append(causes.forbidden(f"spec.volumes[{index}].{sources[1]}", why))
    return found


def _tolerations(tolerations: list[Object]) -> list[Cause]:
    found = []
    for index, toleration in enumerate(tolerations):
        at = f"spec.tolerations[{index}]"
        operator = toleration.get("operator") or "Equal"
        found += checks.one_of(f"{at}.operator", operator, ("Equal", "Exists", "Gt", "Lt"))
        found += checks.one_of(f"{at}.effect", toleration.get("effect", ""), _EFFECTS)
        if operator == "Exists" and toleration.get("value"):
            why = "value must be empty when `operator` is 'Exists'"
            found.append(causes.invalid(f"{at}.operator", toleration, why))
    return found


def _qos_class(spec: Object) -> str:
    """Guaranteed where every container limits cpu and memory to what it requests, BestEffort where none asks."""
    wanted = [container.get("resources", {}) for container in containers.every(spec)]
    if all(
        resources.get("limits", {}).get(name) is not None
        and resources["limits"][name] == resources.get("requests", {}).get(name)
        for resources in wanted
        for name in ("cpu", "memory")
    ):
        return "Guaranteed"
    asks = any(
        name in ("cpu", "memory")
        for resources in wanted
        for side in ("limits", "requests")
        for name in resources.get(side, {})
    )
    return "Burstable" if asks else "BestEffort"
