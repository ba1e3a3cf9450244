"""OpenAPI v3, as much as kubectl reads: the shapes of kinds for `explain` and patches, and which parameters work."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from trireme.pocket.apiserver import bodies
from trireme.pocket.apiserver.builtin.rules import BuiltInRules
from trireme.pocket.apiserver.builtin.shapes import META, REF, closure, shape
from trireme.pocket.apiserver.definitions import CustomRules
from trireme.pocket.apiserver.kinds import Kind, Registry

Object = dict[str, Any]

V2_MEDIA_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""Of OpenAPI v2 there is only the empty document: kubectl looks there for kinds that v3 does not have."""

_METHODS: Final = {
    "get": ("get", ()),
    "list": ("get", ("labelSelector", "fieldSelector", "limit", "continue", "watch", "resourceVersion")),
    "create": ("post", ("dryRun", "fieldManager", "fieldValidation")),
    "update": ("put", ("dryRun", "fieldManager", "fieldValidation")),
    "patch": ("patch", ("dryRun", "fieldManager", "fieldValidation", "force")),
    "delete": ("delete", ("dryRun", "gracePeriodSeconds", "propagationPolicy")),
    "deletecollection": ("delete", ("dryRun", "labelSelector", "fieldSelector", "propagationPolicy")),
}
"""HTTP method and query parameters of each verb."""
_ACTIONS: Final = {"create": "post", "update": "put"}
_WITH_BODY: Final = {
    "create": (bodies.JSON,),
    "update": (bodies.JSON,),
    "patch": (bodies.APPLY_PATCH, bodies.JSON_PATCH, bodies.MERGE_PATCH, bodies.STRATEGIC_PATCH),
}
"""The formats of each verb's body; kubectl patches strategically where this says that it may."""


def index(registry: Registry) -> Object:
    """GET /openapi/v3: one document a group version, its hash in the URL so that clients may keep it."""
    paths = {}
    for group in registry.groups():
        for version in registry.versions(group):
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            digest = hashlib.sha256(msgspec.json.encode(document(registry, group, version) or {})).hexdigest()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest[:32].upper()}"}
    return {"paths": paths}


def document(registry: Registry, group: str, version: str) -> Object | None:
    """GET /openapi/v3/apis/GROUP/VERSION; None: there is no such version."""
    kinds = registry.of(group, version)
    if not kinds:
        return None
    schemas: Object = closure({f"{META}ObjectMeta", f"{META}DeleteOptions"})
    paths: Object = {}
    for kind in kinds:
        schemas |= _schemas(kind)
        paths |= _paths(kind)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _schemas(kind: Kind) -> Object:
    name = schema_name(kind)
    marks = {"x-kubernetes-group-version-kind": [_gvk(kind)]}
    if isinstance(kind.rules, BuiltInRules):
        return {**closure({name}), name: {**shape(name), **marks}}
    if not isinstance(kind.rules, CustomRules):
        raise TypeError(kind.rules)
    schema = kind.rules.schema
    properties = {
        "apiVersion": {"type": "string", "description": "The version of this object's schema."},
        "kind": {"type": "string", "description": "The kind of this object."},
        **schema.get("properties", {}),
        "metadata": {"$ref": f"{REF}{META}ObjectMeta"},
    }
    return {name: {**schema, "properties": properties, **marks}}


def schema_name(kind: Kind) -> str:
    """The name of a kind's definition: of a custom kind, its group turned round, as Kubernetes does."""
    if isinstance(kind.rules, BuiltInRules):
        return kind.rules.shape_name
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _paths(kind: Kind) -> Object:
    base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    collection = f"{base}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{base}/{kind.plural}"
    item = f"{collection}/{{name}}"
    in_path = ["namespace"] if kind.namespaced else []
    found = {
        collection: _operations(kind, ("list", "create", "deletecollection"), in_path),
        item: _operations(kind, ("get", "update", "patch", "delete"), [*in_path, "name"]),
    }
    for name in sorted(kind.subresources & {"status", "scale"}):
        found[f"{item}/{name}"] = _operations(kind, ("get", "update", "patch"), [*in_path, "name"])
    if kind.namespaced and "list" in kind.verbs:
        found[f"{base}/{kind.plural}"] = _operations(kind, ("list",), [])
    return {path: operations for path, operations in found.items() if len(operations) > 1}


def _operations(kind: Kind, verbs: tuple[str, ...], in_path: list[str]) -> Object:
    operations: Object = {
        "parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path]
    }
    for verb in verbs:
        if verb not in kind.verbs:
            continue
        method, parameters = _METHODS[verb]
        reference = {"$ref": f"{REF}{schema_name(kind)}"}
        operation: Object = {
            "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in parameters],
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
            "x-kubernetes-action": _ACTIONS.get(verb, verb),
            "x-kubernetes-group-version-kind": _gvk(kind),
        }
        if verb in _WITH_BODY:
            media_types = [m for m in _WITH_BODY[verb] if kind.rules.strategic or m != bodies.STRATEGIC_PATCH]
            operation["requestBody"] = {"content": {media: {"schema": reference} for media in media_types}}
        operations[method] = operation
    return operations


def _gvk(kind: Kind) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}
