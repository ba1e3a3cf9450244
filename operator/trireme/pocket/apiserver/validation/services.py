"""Services: defaults and rules. An address is given, as the API server does; nothing routes it in the pocket."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address
from typing import Any, Final

from trireme.pocket.apiserver.validation import checks
from trireme.pocket.objects import causes, names
from trireme.pocket.objects.causes import Cause

Object = dict[str, Any]

_NETWORK: Final = int(IPv4Address("10.96.0.0"))
_HOST_BITS: Final = 16


def default(service: Object) -> None:
    spec = service.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec["type"] == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if not spec.get("clusterIP"):
        metadata = service["metadata"]
        spec["clusterIP"] = _address(f"{metadata.get('namespace')}/{metadata.get('name')}")
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")


def initialize(service: Object) -> None:
    service["status"] = {"loadBalancer": {}}


def validate(service: Object) -> list[Cause]:
    spec = service["spec"]
    if spec["type"] in ("LoadBalancer", "NodePort"):
        why = f"the pocket cluster has no {spec['type']} services: nothing would route them"
        return [causes.forbidden("spec.type", why)]
    found = checks.one_of("spec.type", spec["type"], ("ClusterIP", "ExternalName"))
    found += checks.one_of("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None"))
    ports = spec.get("ports", [])
    if not ports and spec["type"] == "ClusterIP" and spec["clusterIP"] != "None":
        found.append(causes.required("spec.ports"))
    if spec["type"] == "ExternalName":
        found += checks.checked("spec.externalName", spec.get("externalName"), names.dns_subdomain)
    found += checks.duplicates("spec.ports", ports, "name") if len(ports) > 1 else []
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        found += checks.checked(f"{at}.name", port.get("name"), names.dns_label, needed=len(ports) > 1)
        if not 1 <= port.get("port", 0) <= 65535:
            found.append(causes.invalid(f"{at}.port", port.get("port"), "must be between 1 and 65535, inclusive"))
        found += checks.one_of(f"{at}.protocol", port["protocol"], ("SCTP", "TCP", "UDP"))
    return found


def validate_update(new: Object, old: Object) -> list[Cause]:
    before, after = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if "ExternalName" in (old["spec"]["type"], new["spec"]["type"]) or before == after:
        return []
    return [causes.invalid("spec.clusterIPs[0]", [after], "may not change once set")]


def _address(key: str) -> str:
    """An address of the service network that only the service's name decides."""
    digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
    return str(IPv4Address(_NETWORK + 10 + digest % (2**_HOST_BITS - 20)))
