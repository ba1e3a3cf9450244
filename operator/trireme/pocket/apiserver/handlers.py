"""One request for a kind, from its parts to the answer's parts: the only place where verbs meet operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from trireme.pocket.apiserver import bodies, errors, pods, reviews
from trireme.pocket.apiserver.builtin import wire
from trireme.pocket.apiserver.builtin.rules import BuiltInRules
from trireme.pocket.apiserver.builtin.shapes import META
from trireme.pocket.apiserver.deletion import delete, for_member
from trireme.pocket.apiserver.kinds import Kind
from trireme.pocket.apiserver.operations import Operations, Written, decoded
from trireme.pocket.apiserver.options import DeleteOptions, apply_options, delete_options, write_options
from trireme.pocket.apiserver.paths import Target
from trireme.pocket.apiserver.present import Presenter, presenter
from trireme.pocket.apiserver.scale import scale_of, scaled
from trireme.pocket.apiserver.selection import Listing, listing, selection
from trireme.pocket.apiserver.store import Page, Record
from trireme.pocket.objects.patch import PatchError, json_patch, merge_patch, strategic_merge

Object = dict[str, Any]

_encode: Final = msgspec.json.Encoder().encode
_REFUSED_SUBRESOURCES: Final = frozenset({"exec", "attach", "portforward", "proxy", "ephemeralcontainers", "resize"})


@dataclass(frozen=True, slots=True)
class Request:
    """What a handler needs of an HTTP request."""

    target: Target
    kind: Kind
    verb: str
    query: Mapping[str, str]
    accept: str
    media: str
    user_agent: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler gives back: a body that is JSON, unless `headers` say otherwise."""

    body: bytes
    code: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Handlers:
    """Answers everything but watches and logs, which are streams. `answer` raises ApiError."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._store = operations.store

    def answer(self, request: Request) -> Answer:
        check_subresource(request.kind, request.target)
        match request.verb, request.target.subresource:
            case "get", "scale":
                return self._get_scale(request)
            case "get", "" | "status":
                return Answer(self._presenter(request).one(self._record(request)))
            case "list", _:
                found = listing(self._store, request.kind, request.target.namespace, request.query)
                return Answer(self._presenter(request).many(found))
            case "create", "":
                return self._create(request)
            case "create", "binding":
                return self._bind(request)
            case "create", "eviction":
                return self._evict(request)
            case "update", "" | "status" | "scale" | "finalize" as subresource:
                return self._update(request, subresource)
            case "patch", "" | "status" | "scale" as subresource:
                return self._patch(request, subresource)
            case "delete", "":
                return self._delete(request)
            case "deletecollection", "":
                return self._delete_collection(request)
        raise errors.method_not_allowed(request.verb)

    def _create(self, request: Request) -> Answer:
        kind, target = request.kind, request.target
        if target.name:
            raise (
                errors.bad_request("name may not be part of the URL of a creation")
                if kind.custom
                else (errors.method_not_allowed("POST"))
            )
        if kind.namespaced and target.namespace is None:
            raise errors.method_not_allowed("POST")
        options = write_options(request.query, request.user_agent)
        body = _parsed(request)
        if "get" not in kind.verbs:
            decoded(kind, body, options)
            return Answer(_encode(reviews.answer(body)), 201)
        return self._written(request, self._operations.create(kind, target.namespace, body, options))

    def _update(self, request: Request, subresource: str) -> Answer:
        target = request.target
        options = write_options(request.query, request.user_agent, "UpdateOptions")
        body = _parsed(request)
        if subresource == "scale":
            return self._scale(request, body)
        written = self._operations.update(request.kind, target.namespace, target.name, body, options, subresource)
        return self._written(request, written)

    def _patch(self, request: Request, subresource: str) -> Answer:
        kind, target, media = request.kind, request.target, request.media
        if media == bodies.APPLY_PATCH:
            options = apply_options(request.query)
            body = bodies.parse_object(request.body, media)
            applied = self._operations.apply(kind, target.namespace, target.name, body, options, subresource)
            return self._written(request, applied)
        accepted = [bodies.JSON_PATCH, bodies.MERGE_PATCH, bodies.APPLY_PATCH]
        if kind.rules.strategic:
            accepted.append(bodies.STRATEGIC_PATCH)
        if media not in accepted:
            raise errors.unsupported_media_type(media, accepted)
        patch = bodies.parse_json(request.body)
        if subresource == "scale":
            record = self._record(request)
            return self._scale(request, patched(kind, media, scale_of(_scale_paths(kind), record.value), patch))
        options = write_options(request.query, request.user_agent, "PatchOptions")
        written = self._operations.patch(
            kind, target.namespace, target.name, lambda obj: patched(kind, media, obj, patch), options, subresource
        )
        return self._written(request, written)

    def _delete(self, request: Request) -> Answer:
        record = self._record(request)
        options = self._delete_options(request)
        left, gone = delete(self._store, self._operations.clock, request.kind, record, options)
        kind = request.kind
        if gone and kind.resource != "pods":
            status = errors.success(record.value["metadata"]["name"], kind.group, kind.plural, record.uid)
            return Answer(_encode(status))
        return Answer(self._presenter(request).one(left))

    def _delete_collection(self, request: Request) -> Answer:
        kind = request.kind
        if "deletecollection" not in kind.verbs:
            raise errors.method_not_allowed("DELETE")
        options = for_member(self._delete_options(request))
        chosen = selection(kind, request.target.namespace, request.query)
        page = self._store.page(kind.resource, prefix=chosen.prefix, matches=chosen.matches)
        left = [delete(self._store, self._operations.clock, kind, record, options)[0] for record in page.records]
        return Answer(self._presenter(request).many(Listing(Page(left, self._store.version, 0))))

    def _get_scale(self, request: Request) -> Answer:
        return Answer(_encode(scale_of(_scale_paths(request.kind), self._record(request).value)))

    def _scale(self, request: Request, scale: Object) -> Answer:
        """Writes the replicas of a Scale into the object that it stands for."""
        kind, target = request.kind, request.target
        paths = _scale_paths(kind)
        options = write_options(request.query, request.user_agent, "UpdateOptions")
        written = self._operations.patch(
            kind, target.namespace, target.name, lambda obj: scaled(kind, paths, obj, scale), options, "scale"
        )
        return Answer(_encode(scale_of(paths, written.record.value)))

    def _bind(self, request: Request) -> Answer:
        record = self._record(request)
        binding = _parsed(request, "io.k8s.api.core.v1.Binding")
        pod = pods.bound(record.value, binding, self._operations.clock())
        self._store.put(request.kind.resource, record.key, pod)
        return Answer(_encode({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}), 201)

    def _evict(self, request: Request) -> Answer:
        """An eviction is a deletion with the pod's own grace; disruption budgets are kept, not enforced."""
        record = self._record(request)
        eviction = _parsed(request, "io.k8s.api.policy.v1.Eviction")
        options = delete_options(request.query, eviction.get("deleteOptions"))
        delete(self._store, self._operations.clock, request.kind, record, options)
        return Answer(_encode({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}), 201)

    def _written(self, request: Request, written: Written) -> Answer:
        headers = {}
        if written.warnings:
            headers["Warning"] = ", ".join(_warning(text) for text in written.warnings)
        code = 201 if written.created else 200
        return Answer(self._presenter(request).one(written.record), code, headers)

    def _record(self, request: Request) -> Record:
        return self._operations.read(request.kind, request.target.namespace, request.target.name)

    def _delete_options(self, request: Request) -> DeleteOptions:
        body = _parsed(request, f"{META}DeleteOptions") if request.body else None
        return delete_options(request.query, body)

    def _presenter(self, request: Request) -> Presenter:
        return presenter(request.kind, request.accept, request.query, self._operations.clock)


def check_subresource(kind: Kind, target: Target) -> None:
    """Raises ApiError: 404 for a subresource that the kind lacks, 501 for one that only real nodes have."""
    name = target.subresource
    if not name or name in kind.subresources:
        return
    if kind.resource == "pods" and name in _REFUSED_SUBRESOURCES:
        raise errors.not_in_the_pocket(f"pods/{name}: its pods are processes of this machine")
    raise errors.no_such_path()


def patched(kind: Kind, media: str, obj: Object, patch: Any) -> Object:
    """The object after a patch of this media type. Raises ApiError: 400 for no patch, 422 for one that does not fit."""
    try:
        if media == bodies.JSON_PATCH:
            result = json_patch(obj, patch)
        elif not isinstance(patch, dict):
            raise errors.bad_request("the patch must be a JSON object")
        elif media == bodies.STRATEGIC_PATCH:
            result = strategic_merge(obj, patch, kind.rules.merge_keys)
        else:
            result = merge_patch(obj, patch)
    except PatchError as error:
        raise errors.bad_request(str(error)) if error.malformed else errors.unprocessable(str(error)) from error
    if not isinstance(result, dict):
        raise errors.unprocessable("the patch leaves no object")
    return result


def _parsed(request: Request, shape_name: str = "") -> Object:
    """The body, also where it is protobuf: of the request's kind, or of the shape named. Raises ApiError (400, 415)."""
    if request.media != wire.MEDIA_TYPE:
        return bodies.parse_object(request.body, request.media)
    if not shape_name and isinstance(request.kind.rules, BuiltInRules):
        shape_name = request.kind.rules.shape_name
    if not wire.known(shape_name):
        raise errors.unsupported_media_type(request.media, (bodies.JSON, bodies.YAML))
    try:
        return wire.decode(request.body, shape_name)
    except wire.WireError as error:
        raise errors.bad_request(str(error)) from error


def _scale_paths(kind: Kind) -> Any:
    if kind.scale is None:
        raise errors.no_such_path()
    return kind.scale


def _warning(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'
