"""What the pocket's node cannot do for a pod. Pure: a pod goes in, reasons in words come out.

A kubelet turns away a pod that its node can never run, and the pod fails at once with the reason; so does this one.
What a laptop merely does not enforce (it only makes a pod less confined than it asked for) is told, and the pod runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from trireme.contract import exits
from trireme.pocket.kubelet.environment import Object

REASON = exits.POD_UNSUPPORTED

_VOLUMES = frozenset(
    {"configMap", "secret", "emptyDir", "downwardAPI", "projected", "hostPath", "persistentVolumeClaim"}
)
_PROJECTIONS = frozenset({"configMap", "secret", "downwardAPI"})
_CONTAINER_FIELDS = {
    "livenessProbe": "probes are not run",
    "readinessProbe": "probes are not run",
    "startupProbe": "probes are not run",
    "lifecycle": "lifecycle hooks are not run",
    "volumeDevices": "there are no block devices",
    "stdin": "containers have no standard input",
    "tty": "containers have no terminal",
    "restartPolicyRules": "only restart policies are followed",
}
_POD_FIELDS = {
    "ephemeralContainers": "they are not supported",
    "resourceClaims": "there is no dynamic resource allocation",
    "dnsConfig": "names are resolved by the machine",
    "hostAliases": "names are resolved by the machine",
    "hostNetwork": "each pod has a loopback address of its own, by which the others find it",
    "readinessGates": "they are not supported",
    "runtimeClassName": "there is no container runtime",
    "shareProcessNamespace": "there are no process namespaces",
}
_CONFINEMENT = (
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "fsGroup",
    "supplementalGroups",
    "readOnlyRootFilesystem",
    "allowPrivilegeEscalation",
    "seccompProfile",
    "appArmorProfile",
    "seLinuxOptions",
)


def containers(pod: Object) -> list[tuple[str, Object]]:
    """Every container of a pod with its field path, init containers first."""
    spec = pod["spec"]
    return [
        (f"spec.{kind}[{number}]", container)
        for kind in ("initContainers", "containers")
        for number, container in enumerate(spec.get(kind) or [])
    ]


def refusals(pod: Object) -> list[str]:
    """Why this pod cannot run here: `spec.volumes[0]: ...`; empty when it can."""
    spec = pod["spec"]
    found = [f"spec.{key}: {why}" for key, why in _POD_FIELDS.items() if spec.get(key)]
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        found.append("spec.os.name: only linux runs here")
    for number, volume in enumerate(spec.get("volumes") or []):
        found += _volume(f"spec.volumes[{number}]", volume)
    for path, container in containers(pod):
        found += [f"{path}{text}" for text in _container(container)]
    return found


def _volume(path: str, volume: Object) -> Iterator[str]:
    for kind in volume.keys() - {"name"} - _VOLUMES:
        yield f"{path}.{kind}: the pocket has {', '.join(sorted(_VOLUMES))} volumes only"
    for number, source in enumerate((volume.get("projected") or {}).get("sources") or []):
        for kind in source.keys() - _PROJECTIONS:
            yield f"{path}.projected.sources[{number}].{kind}: there is no such projection here"


def _container(container: Object) -> Iterator[str]:
    if not container.get("command"):
        yield ".command: the pocket pulls no image and cannot know its ENTRYPOINT; write the command"
    for key, why in _CONTAINER_FIELDS.items():
        if container.get(key):
            yield f".{key}: {why}"
    security = container.get("securityContext") or {}
    if security.get("privileged"):
        yield ".securityContext.privileged: a process of the pocket has the rights of who started it, no more"
    if added := (security.get("capabilities") or {}).get("add"):
        yield f".securityContext.capabilities.add: {', '.join(added)} cannot be given"
    for number, port in enumerate(container.get("ports") or []):
        if port.get("hostPort"):
            yield f".ports[{number}].hostPort: the node has no address that others can reach"
    for number, mount in enumerate(container.get("volumeMounts") or []):
        if not mount["mountPath"].strip("/"):
            yield f".volumeMounts[{number}].mountPath: nothing can be mounted over the whole file system"


def not_enforced(pod: Object) -> list[str]:
    """Fields that a cluster would confine the pod by, and this machine does not."""
    found = []
    for path, holder in [("spec", pod["spec"]), *containers(pod)]:
        security = holder.get("securityContext") or {}
        found += [f"{path}.securityContext.{key}" for key in _CONFINEMENT if security.get(key) not in (None, {}, [])]
        if (security.get("capabilities") or {}).get("drop"):
            found.append(f"{path}.securityContext.capabilities.drop")
    of_the_machine = {volume["name"] for volume in pod["spec"].get("volumes") or [] if "hostPath" in volume}
    for path, container in containers(pod):
        found += [
            f"{path}.volumeMounts[{number}].readOnly"
            for number, mount in enumerate(container.get("volumeMounts") or [])
            if mount.get("readOnly") and mount["name"] in of_the_machine
        ]
        if "cpu" in ((container.get("resources") or {}).get("limits") or {}):
            found.append(f"{path}.resources.limits.cpu")
    return found
