"""Whether a CustomResourceDefinition may be stored: its names, its versions, its schemas and their rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from trireme.pocket.objects import jsonpath, names
from trireme.pocket.objects.causes import Cause, invalid, not_supported, required
from trireme.pocket.objects.definition_shape import misshapen
from trireme.pocket.objects.structural_rules import check_schema

_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")


def check_definition(crd: Mapping[str, Any]) -> list[Cause]:
    """Every cause against a definition; empty when its schemas may be compiled and served."""
    if causes := misshapen(crd):
        return causes
    spec = crd.get("spec", {})
    return [*_identity(crd, spec), *_versions(spec)]


def _identity(crd: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Cause]:
    group, kinds = spec.get("group", ""), spec.get("names", {})
    name = crd.get("metadata", {}).get("name", "")
    plural = kinds.get("plural", "")
    if name != f"{plural}.{group}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    if not group:
        yield required("spec.group")
    elif problem := names.dns_subdomain(group):
        yield invalid("spec.group", group, problem)
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced"))
    for field in ("plural", "singular", "kind", "listKind"):
        value = kinds.get(field, "")
        if not value and field in ("plural", "kind"):
            yield required(f"spec.names.{field}")
        elif value and (problem := names.dns_1035_label(value.lower())):
            yield invalid(f"spec.names.{field}", value, problem)
    for field in ("shortNames", "categories"):
        for at, value in enumerate(kinds.get(field, ())):
            if problem := names.dns_1035_label(value):
                yield invalid(f"spec.names.{field}[{at}]", value, problem)
    if kinds.get("kind") and kinds.get("kind") == kinds.get("listKind"):
        yield invalid("spec.names.listKind", kinds["listKind"], "kind and listKind may not be the same")
    strategy = spec.get("conversion", {}).get("strategy", "None")
    if strategy != "None":
        yield not_supported("spec.conversion.strategy", strategy, ("None",))


def _versions(spec: Mapping[str, Any]) -> Iterator[Cause]:
    versions = spec.get("versions", [])
    if not versions:
        yield required("spec.versions", "must have at least one version")
        return
    told = [version.get("name", "") for version in versions]
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid("spec.versions", told, "must have exactly one version marked as storage version")
    if len(set(told)) != len(told):
        yield invalid("spec.versions", told, "must contain unique version names")
    for at, version in enumerate(versions):
        yield from _version(version, f"spec.versions[{at}]")


def _version(version: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if problem := names.dns_1035_label(version.get("name", "")):
        yield invalid(f"{path}.name", version.get("name", ""), problem)
    schema = version.get("schema", {}).get("openAPIV3Schema")
    if schema is None:
        yield required(f"{path}.schema.openAPIV3Schema", "schemas are required")
    else:
        yield from check_schema(schema, f"{path}.schema.openAPIV3Schema")
    for at, column in enumerate(version.get("additionalPrinterColumns", ())):
        yield from _column(column, f"{path}.additionalPrinterColumns[{at}]")
    if (scale := version.get("subresources", {}).get("scale")) is not None:
        yield from _scale(scale, f"{path}.subresources.scale")


def _column(column: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield required(f"{path}.name")
    if column.get("type") not in _COLUMN_TYPES:
        yield not_supported(f"{path}.type", column.get("type", ""), _COLUMN_TYPES)
    if not column.get("jsonPath"):
        yield required(f"{path}.jsonPath")
        return
    try:
        jsonpath.compile(column["jsonPath"])
    except ValueError as error:
        yield invalid(f"{path}.jsonPath", column["jsonPath"], str(error))


def _scale(scale: Mapping[str, Any], path: str) -> Iterator[Cause]:
    wanted = {
        "specReplicasPath": (".spec.",),
        "statusReplicasPath": (".status.",),
        "labelSelectorPath": (".status.", ".spec."),
    }
    for field, prefixes in wanted.items():
        value = scale.get(field, "")
        if not value:
            if field != "labelSelectorPath":
                yield required(f"{path}.{field}")
        elif "[" in value:
            yield invalid(
                f"{path}.{field}", value, "should be a simple json path under .spec or .status without arrays"
            )
        elif not value.startswith(prefixes):
            yield invalid(
                f"{path}.{field}", value, f"should be a json path under {' or '.join(p[:-1] for p in prefixes)}"
            )
