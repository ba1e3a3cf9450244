"""The bodies of requests: how much is read, which formats are understood."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import yaml
from aiohttp.web import BaseRequest

from trireme.pocket.apiserver import errors

LIMIT: Final = 3 * 1024 * 1024
"""Bytes that a request's body may have, as in kube-apiserver."""

JSON: Final = "application/json"
YAML: Final = "application/yaml"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"


class _Loader(yaml.CSafeLoader):
    """YAML without its dates: Kubernetes' times are strings."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


async def read(request: BaseRequest) -> bytes:
    """The whole body. Raises ApiError (413) as soon as it is known to be too large."""
    if (request.content_length or 0) > LIMIT:
        raise errors.too_large(LIMIT)
    chunks, size = [], 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > LIMIT:
            raise errors.too_large(LIMIT)
        chunks.append(chunk)
    return b"".join(chunks)


def media_type(header: str | None) -> str:
    return (header or "").partition(";")[0].strip().lower()


def parse_object(body: bytes, media: str) -> dict[str, Any]:
    """The object in a body of this type. Raises ApiError: 415 for another type, 400 for another content."""
    if media not in (JSON, YAML, APPLY_PATCH, MERGE_PATCH, ""):
        raise errors.unsupported_media_type(media, (JSON, YAML))
    value = parse_yaml(body) if media in (YAML, APPLY_PATCH) else parse_json(body)
    if not isinstance(value, dict):
        raise errors.bad_request(f"the body of the request must be an object, not {_type(value)}")
    if not isinstance(value.get("metadata", {}), dict):
        raise errors.bad_request(f"metadata must be an object, not {_type(value['metadata'])}")
    return value


def parse_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.bad_request(f"the object provided is unrecognized (must be of type JSON): {error}") from error


def parse_yaml(body: bytes) -> Any:
    """YAML, or the JSON that most clients send in its name."""
    if body.lstrip()[:1] == b"{":
        return parse_json(body)
    try:
        return yaml.load(body, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise errors.bad_request(f"error decoding YAML: {error}") from error


def _type(value: Any) -> str:
    return {list: "an array", str: "a string", type(None): "null"}.get(type(value), "a scalar")
