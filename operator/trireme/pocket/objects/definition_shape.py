"""The types of a CustomResourceDefinition's fields, checked before anything reads them.

The definition of definitions is itself a schema; only the recursion of JSONSchemaProps has to be walked by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from trireme.pocket.objects.causes import Cause
from trireme.pocket.objects.structural import compile_schema
from trireme.pocket.objects.validation import validate

_TEXT: Final[Mapping[str, Any]] = {"type": "string"}
_FLAG: Final[Mapping[str, Any]] = {"type": "boolean"}
_NUMBER: Final[Mapping[str, Any]] = {"type": "number"}
_COUNT: Final[Mapping[str, Any]] = {"type": "integer", "minimum": 0}
_OBJECT: Final[Mapping[str, Any]] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_OBJECTS: Final[Mapping[str, Any]] = {"type": "array", "items": _OBJECT}


def _object(**fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_RULE: Final = _object(
    rule=_TEXT, message=_TEXT, messageExpression=_TEXT, reason=_TEXT, fieldPath=_TEXT, optionalOldSelf=_FLAG
)
_LEVEL: Final = compile_schema({
    "type": "object",
    "properties": {
        **dict.fromkeys(("type", "format", "pattern", "description", "title", "x-kubernetes-list-type"), _TEXT),
        **dict.fromkeys(("nullable", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum"), _FLAG),
        **dict.fromkeys(("minimum", "maximum", "multipleOf"), _NUMBER),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _COUNT),
        **dict.fromkeys(("allOf", "anyOf", "oneOf"), _OBJECTS),
        **dict.fromkeys(("required", "x-kubernetes-list-map-keys"), _list(_TEXT)),
        **dict.fromkeys(("items", "not"), _OBJECT),
        "enum": _list({"x-kubernetes-preserve-unknown-fields": True, "nullable": True}),
        "properties": {"type": "object", "additionalProperties": _OBJECT},
        "x-kubernetes-validations": _list(_RULE),
        "x-kubernetes-map-type": {"type": "string", "enum": ["atomic", "granular"]},
    },
})  # fmt: skip
_COLUMN: Final = _object(
    name=_TEXT, type=_TEXT, jsonPath=_TEXT, format=_TEXT, description=_TEXT, priority={"type": "integer"}
)
_SCALE: Final = _object(specReplicasPath=_TEXT, statusReplicasPath=_TEXT, labelSelectorPath=_TEXT)
_VERSION: Final = _object(
    name=_TEXT,
    served=_FLAG,
    storage=_FLAG,
    schema=_object(openAPIV3Schema=_OBJECT),
    subresources=_object(status=_OBJECT, scale=_SCALE),
    additionalPrinterColumns=_list(_COLUMN),
    selectableFields=_list(_object(jsonPath=_TEXT)),
)
_NAMES: Final = _object(
    plural=_TEXT, singular=_TEXT, kind=_TEXT, listKind=_TEXT, shortNames=_list(_TEXT), categories=_list(_TEXT)
)
_DEFINITION: Final = compile_schema(
    _object(
        metadata=_object(name=_TEXT),
        spec=_object(
            group=_TEXT, scope=_TEXT, names=_NAMES, versions=_list(_VERSION), conversion=_object(strategy=_TEXT)
        ),
    )
)


def misshapen(crd: Mapping[str, Any]) -> list[Cause]:
    """The fields of a definition whose values have the wrong type, its schemas included."""
    if causes := list(validate(_DEFINITION, crd)):
        return causes
    return [
        cause
        for at, version in enumerate(crd.get("spec", {}).get("versions", ()))
        for cause in _schema(
            version.get("schema", {}).get("openAPIV3Schema", {}), f"spec.versions[{at}].schema.openAPIV3Schema"
        )
    ]


def _schema(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if causes := list(validate(_LEVEL, schema, path=path)):
        yield from causes
        return
    for name, below in schema.get("properties", {}).items():
        yield from _schema(below, f"{path}.properties[{name}]")
    for keyword in ("items", "not", "additionalProperties"):
        if isinstance(below := schema.get(keyword), Mapping):
            yield from _schema(below, f"{path}.{keyword}")
    for keyword in ("allOf", "anyOf", "oneOf"):
        for at, below in enumerate(schema.get(keyword, ())):
            yield from _schema(below, f"{path}.{keyword}[{at}]")
