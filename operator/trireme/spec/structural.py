"""From pydantic's JSON schema to the structural schema that a CustomResourceDefinition takes.

A structural schema has no references, no null, no titles, and says nothing of unknown fields: those are pruned
(Kubernetes documentation, CustomResourceDefinition, "Specifying a structural schema").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

Schema = dict[str, Any]

_KEPT = (
    "description", "type", "format", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "maxProperties", "pattern",
)  # fmt: skip


def structural(model: type[BaseModel], mode: JsonSchemaMode = "validation") -> Schema:
    """`serialization` describes what is written, computed fields too: for status."""
    schema = model.model_json_schema(mode=mode)
    return _convert(schema, schema.get("$defs", {}))


def _convert(schema: Mapping[str, Any], definitions: Mapping[str, Schema]) -> Schema:
    schema = _resolve(schema, definitions)
    result = {key: schema[key] for key in _KEPT if key in schema}
    if schema.get("default") not in (None, "", [], {}):
        # The fields of an object have their own defaults; an absent one only has to come into being.
        result["default"] = {} if schema["type"] == "object" else schema["default"]
    if "properties" in schema:
        # pydantic requires computed fields; a reader must not, since an older operator did not write them.
        computed = {key for key, value in schema["properties"].items() if value.get("readOnly")}
        required = [key for key in schema.get("required", ()) if key not in computed]
        result |= {"required": required} if required else {}
        result["properties"] = {key: _convert(value, definitions) for key, value in schema["properties"].items()}
    elif schema.get("additionalProperties") is True:
        result["x-kubernetes-preserve-unknown-fields"] = True
    elif schema.get("additionalProperties"):
        result["additionalProperties"] = _convert(schema["additionalProperties"], definitions)
    if "items" in schema:
        result["items"] = _convert(schema["items"], definitions)
    return result


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Schema]) -> Mapping[str, Any]:
    """Without reference and null; what stands beside a reference wins over what it refers to."""
    if "anyOf" in schema:
        (arm,) = (arm for arm in schema["anyOf"] if arm.get("type") != "null")
        schema = {**arm, **{key: value for key, value in schema.items() if key != "anyOf"}}
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **schema}
    return schema
