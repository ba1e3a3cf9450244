"""CustomResourceDefinitions: their defaults and rules, and the kinds that they define.

Everything here is a function of the definition; putting the kinds into the registry is `controllers`' work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from trireme.pocket.apiserver.builtin.shapes import META, shape
from trireme.pocket.apiserver.decoding import decode
from trireme.pocket.apiserver.kinds import Kind, ScalePaths
from trireme.pocket.apiserver.scale import replica_causes
from trireme.pocket.apiserver.validation import checks, metadata
from trireme.pocket.objects import causes, names
from trireme.pocket.objects.causes import Cause
from trireme.pocket.objects.merge_keys import MergeKeys, from_schema
from trireme.pocket.objects.schema import Structural, check_definition

Object = dict[str, Any]

CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that keeps a definition until its objects are gone."""
_OPEN: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def default(definition: Object) -> None:
    spec = definition.get("spec", {})
    spec.setdefault("conversion", {"strategy": "None"})
    named = spec.get("names", {})
    if named.get("kind"):
        named.setdefault("singular", named["kind"].lower())
        named.setdefault("listKind", f"{named['kind']}List")


def initialize(definition: Object) -> None:
    """A definition that is accepted is served at once, and outlives its objects."""
    definition["metadata"]["finalizers"] = [*definition["metadata"].get("finalizers", []), CLEANUP]
    spec = definition["spec"]
    at = definition["metadata"]["creationTimestamp"]
    definition["status"] = {
        "conditions": [
            _condition("NamesAccepted", "NoConflicts", "no conflicts found", at),
            _condition("Established", "InitialNamesAccepted", "the initial names have been accepted", at),
        ],
        "acceptedNames": spec["names"],
        "storedVersions": [version["name"] for version in spec["versions"] if version.get("storage")],
    }


def validate(definition: Object) -> list[Cause]:
    spec = definition.get("spec", {})
    named = spec.get("names", {})
    found = [
        cause
        for label in ("plural", "singular", "kind", "listKind")
        for cause in checks.checked(
            f"spec.names.{label}", named.get(label) and named[label].lower(), names.dns_1035_label
        )
    ]
    found += checks.checked("spec.group", spec.get("group"), names.dns_subdomain)
    found += checks.one_of("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    wanted = f"{named.get('plural')}.{spec.get('group')}"
    if definition["metadata"].get("name") != wanted:
        why = f'must be spec.names.plural+"."+spec.group: expected {wanted}'
        found.append(causes.invalid("metadata.name", definition["metadata"].get("name"), why))
    if spec.get("conversion", {}).get("strategy") != "None":
        found.append(causes.forbidden("spec.conversion.strategy", "the pocket cluster calls no webhooks: only None"))
    found += _versions(spec.get("versions", []))
    return found or check_definition(definition)


def validate_update(new: Object, old: Object) -> list[Cause]:
    """What decides where objects are stored is fixed."""
    return [
        causes.invalid(f"spec.{path}", value, "field is immutable")
        for path, value, before in (
            ("group", new["spec"]["group"], old["spec"]["group"]),
            ("scope", new["spec"]["scope"], old["spec"]["scope"]),
            ("names.kind", new["spec"]["names"]["kind"], old["spec"]["names"]["kind"]),
            ("names.plural", new["spec"]["names"]["plural"], old["spec"]["names"]["plural"]),
        )
        if value != before
    ]


def kinds_of(definition: Object) -> list[Kind]:
    """The kinds that a definition serves, one for each served version."""
    return [_kind(definition, version) for version in definition["spec"]["versions"] if version.get("served")]


@dataclass(eq=False)
class CustomRules:
    """The rules that a definition's schema makes."""

    kind: str
    api_version: str
    schema: Object
    status: bool
    scale: ScalePaths | None = None
    strategic: bool = False
    merge_keys: MergeKeys = field(init=False)
    _structural: Structural = field(init=False)

    def __post_init__(self) -> None:
        self.merge_keys = from_schema(self.schema)
        self._structural = Structural(self.schema)

    def decode(self, obj: Object) -> list[str]:
        unknown = decode(obj.get("metadata", {}), shape(f"{META}ObjectMeta"), "metadata")
        return unknown + self._structural.prune(obj)

    def default(self, obj: Object) -> None:
        self._structural.default(obj)

    def initialize(self, obj: Object) -> None:
        if self.status:
            obj.pop("status", None)

    def validate(self, new: Object, old: Object | None) -> list[Cause]:
        found = metadata.validate(new["metadata"], old and old["metadata"], names.dns_subdomain)
        if self.scale is not None:
            found += replica_causes(self.scale, new)
        return found + self._structural.validate(new, old)


def _kind(definition: Object, version: Object) -> Kind:
    spec, named = definition["spec"], definition["spec"]["names"]
    api_version = f"{spec['group']}/{version['name']}"
    storage = next(each["name"] for each in spec["versions"] if each.get("storage"))
    subresources = version.get("subresources", {})
    schema = version.get("schema", {}).get("openAPIV3Schema", _OPEN)
    scale = _scale_paths(subresources.get("scale"))
    converted = version["name"] != storage

    def renamed(to: str) -> Any:
        return (lambda obj: {**obj, "apiVersion": to}) if converted else None

    return Kind(
        group=spec["group"],
        version=version["name"],
        kind=named["kind"],
        plural=named["plural"],
        singular=named["singular"],
        rules=CustomRules(named["kind"], api_version, schema, "status" in subresources, scale),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(named.get("shortNames", ())),
        categories=tuple(named.get("categories", ())),
        subresources=frozenset(subresources),
        selectable=frozenset(each["jsonPath"].removeprefix(".") for each in version.get("selectableFields", ())),
        generation=True,
        unconditional=False,
        custom=True,
        scale=scale,
        columns=tuple(version.get("additionalPrinterColumns", ())),
        to_stored=renamed(f"{spec['group']}/{storage}"),
        from_stored=renamed(api_version),
    )


def _versions(versions: list[Object]) -> list[Cause]:
    found = checks.duplicates("spec.versions", versions, "name")
    for index, version in enumerate(versions):
        at = f"spec.versions[{index}]"
        found += checks.checked(f"{at}.name", version.get("name"), names.dns_1035_label)
        if "openAPIV3Schema" not in version.get("schema", {}):
            found.append(causes.required(f"{at}.schema.openAPIV3Schema", "schemas are required"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        found.append(causes.invalid("spec.versions", "", "must have exactly one version marked as storage version"))
    return found


def _scale_paths(scale: Object | None) -> ScalePaths | None:
    if scale is None:
        return None
    selector = scale.get("labelSelectorPath")
    return ScalePaths(
        _path(scale["specReplicasPath"]), _path(scale["statusReplicasPath"]), _path(selector) if selector else None
    )


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.strip(".").split("."))


def _condition(kind: str, reason: str, message: str, at: str) -> Object:
    return {"type": kind, "status": "True", "lastTransitionTime": at, "reason": reason, "message": message}
