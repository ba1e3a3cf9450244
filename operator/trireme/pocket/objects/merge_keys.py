"""Which lists of a kind merge by key, which are sets, and which are replaced as a whole.

Strategic merge patch and server-side apply both need this tree. For custom resources it comes from the schema's
`x-kubernetes-list-type` and `x-kubernetes-map-type`; for built-in kinds from the table below, which restates the
Kubernetes API types. The two patch formats may differ: a container's ports merge strategically by containerPort alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final


class Merge(Enum):
    """How the value at a place merges: field by field, by key, as a set, or as one value."""

    GRANULAR = "granular"
    ATOMIC = "atomic"
    MAP = "map"
    SET = "set"


@dataclass(frozen=True, slots=True)
class MergeKeys:
    """One node of the tree. Objects are granular and lists atomic unless told otherwise.

    `keys` are the list-map keys with the defaults that stand in for absent ones (None: the key is required).
    """

    merge: Merge | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)
    strategic: str | None = None
    fields: Mapping[str, MergeKeys] = field(default_factory=dict)
    values: MergeKeys | None = None

    def child(self, name: str) -> MergeKeys:
        """The node of a field of this object (or of a map's value)."""
        return self.fields.get(name) or self.values or ATOMIC_LISTS

    @property
    def items(self) -> MergeKeys:
        """The node of this list's items."""
        return self.values or ATOMIC_LISTS

    def of_object(self) -> Merge:
        return Merge.ATOMIC if self.merge is Merge.ATOMIC else Merge.GRANULAR

    def of_list(self) -> Merge:
        return self.merge if self.merge in (Merge.MAP, Merge.SET) else Merge.ATOMIC


ATOMIC_LISTS: Final = MergeKeys()
"""What holds where nothing is known: objects merge, lists are replaced."""


def from_schema(schema: Mapping[str, Any]) -> MergeKeys:
    """The tree of a structural schema, with object metadata merged as every kind's is."""
    tree = _from_schema(schema)
    return MergeKeys(fields={**tree.fields, "metadata": METADATA}, values=tree.values)


def _from_schema(schema: Mapping[str, Any]) -> MergeKeys:
    fields = {name: _from_schema(sub) for name, sub in schema.get("properties", {}).items()}
    below = schema.get("items") or schema.get("additionalProperties")
    items = _from_schema(below) if isinstance(below, Mapping) else None
    list_type = schema.get("x-kubernetes-list-type", schema.get("x-kubernetes-map-type"))
    keys: dict[str, Any] = {}
    if list_type == "map":
        properties = schema.get("items", {}).get("properties", {})
        keys = {key: properties.get(key, {}).get("default") for key in schema.get("x-kubernetes-list-map-keys", ())}
    if schema.get("x-kubernetes-embedded-resource"):
        fields["metadata"] = METADATA
    return MergeKeys(merge=Merge(list_type) if list_type else None, keys=keys, fields=fields, values=items)


def _by(*keys: str, strategic: str | None = None, of: MergeKeys | None = None, **defaults: Any) -> MergeKeys:
    names = dict.fromkeys(keys) | defaults
    return MergeKeys(Merge.MAP, names, strategic=strategic or keys[0], values=of)


def _object(**fields: MergeKeys) -> MergeKeys:
    return MergeKeys(fields=fields)


_SET: Final = MergeKeys(Merge.SET)
_ATOMIC: Final = MergeKeys(Merge.ATOMIC)

METADATA: Final = _object(ownerReferences=_by("uid"), finalizers=_SET)

_CONTAINER: Final = _object(
    ports=_by("containerPort", protocol="TCP"),
    env=_by(
        "name",
        of=_object(
            valueFrom=_object(fieldRef=_ATOMIC, configMapKeyRef=_ATOMIC, secretKeyRef=_ATOMIC, resourceFieldRef=_ATOMIC)
        ),
    ),
    volumeMounts=_by("mountPath"),
    volumeDevices=_by("devicePath"),
    resources=_object(claims=_by("name")),
)
_POD_SPEC: Final = _object(
    containers=_by("name", of=_CONTAINER),
    initContainers=_by("name", of=_CONTAINER),
    ephemeralContainers=_by("name", of=_CONTAINER),
    volumes=_by("name"),
    imagePullSecrets=_by("name"),
    hostAliases=_by("ip"),
    topologySpreadConstraints=_by("topologyKey", "whenUnsatisfiable"),
    schedulingGates=_by("name"),
    resourceClaims=_by("name"),
    nodeSelector=_ATOMIC,
)
_POD_STATUS: Final = _object(
    conditions=_by("type"), podIPs=_by("ip"), hostIPs=_by("ip"), resourceClaimStatuses=_by("name")
)
_CONDITIONS: Final = _object(conditions=_by("type"))
_TEMPLATED: Final = _object(
    selector=_ATOMIC,
    template=_object(metadata=METADATA, spec=_POD_SPEC),
)

_BUILT_IN: Final[Mapping[str, MergeKeys]] = {
    "Pod": _object(spec=_POD_SPEC, status=_POD_STATUS),
    "Service": _object(
        spec=_object(ports=_by("port", protocol="TCP"), selector=_ATOMIC),
        status=_object(conditions=_by("type"), loadBalancer=_object(ingress=_ATOMIC)),
    ),
    "Node": _object(
        spec=_object(taints=MergeKeys(Merge.ATOMIC, strategic="key"), podCIDRs=_SET),
        status=_object(conditions=_by("type"), addresses=_by("type")),
    ),
    "Namespace": _object(spec=_object(), status=_CONDITIONS),
    "PersistentVolumeClaim": _object(spec=_object(), status=_CONDITIONS),
    "ServiceAccount": _object(secrets=_by("name"), imagePullSecrets=_by("name")),
    "Deployment": _object(spec=_TEMPLATED, status=_CONDITIONS),
    "CustomResourceDefinition": _object(spec=_object(), status=_CONDITIONS),
    "PodDisruptionBudget": _object(spec=_object(selector=_ATOMIC), status=_CONDITIONS),
    "ClusterRole": _object(aggregationRule=_object()),
}


def built_in(kind: str) -> MergeKeys:
    """The tree of a built-in kind; a kind without keyed lists has only its metadata's."""
    known = _BUILT_IN.get(kind, ATOMIC_LISTS)
    return MergeKeys(fields={**known.fields, "metadata": METADATA})
