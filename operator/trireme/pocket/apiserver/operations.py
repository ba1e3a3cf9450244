"""Create, read, update, patch: what a request does to the store, without HTTP.

Each write is the same pipeline as in Kubernetes: decode, keep what the client may not touch, default, validate, count
the generation, note who owns which field, and store only what changed. Deletion lives in `deletion`.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trireme.pocket.apiserver import admission, errors, ownership
from trireme.pocket.apiserver.decoding import DecodeError
from trireme.pocket.apiserver.kinds import Clock, Kind, Registry
from trireme.pocket.apiserver.options import WriteOptions
from trireme.pocket.apiserver.store import Record, Store, copied, object_key
from trireme.pocket.apiserver.times import to_text
from trireme.pocket.objects import causes

Object = dict[str, Any]
Change = Callable[[Object], Object]

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_NAME_TRIES = 8
_FIXED_METADATA = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
)


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: the object as it is now stored (or would be), and what the client should be told."""

    record: Record
    created: bool = False
    warnings: tuple[str, ...] = ()


class Operations:
    """The writes on a store. All methods raise ApiError."""

    def __init__(self, store: Store, registry: Registry, clock: Clock) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock

    def read(self, kind: Kind, namespace: str | None, name: str) -> Record:
        found = self.store.get(kind.resource, object_key(namespace, name))
        if found is None:
            raise errors.not_found(kind.group, kind.plural, name)
        return found

    def create(self, kind: Kind, namespace: str | None, obj: Object, options: WriteOptions) -> Written:
        """Stores a new object. `obj` is the client's, decoded from JSON; it is edited."""
        warnings = decoded(kind, obj, options)
        metadata = obj.setdefault("metadata", {})
        _place(kind, namespace, obj)
        if metadata.get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = self._generated_name(kind, namespace, metadata["generateName"])
        if namespace is not None:
            admission.check_namespace(self.store, kind, namespace, metadata.get("name", ""))
        now = self.clock()
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion"):
            metadata.pop(key, None)
        managed = metadata.pop("managedFields", None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": to_text(now)}
        if kind.generation:
            metadata["generation"] = 1
        kind.rules.default(obj)
        kind.rules.initialize(obj)
        kind.rules.default(obj)  # of what is not stored too: it is filled in when it is read
        if found := kind.rules.validate(obj, None):
            raise errors.invalid(kind.group, kind.kind, metadata.get("name", ""), found)
        admission.admit(self.store, kind, obj)
        key = object_key(namespace, metadata["name"])
        if self.store.get(kind.resource, key) is not None:
            raise errors.already_exists(kind.group, kind.plural, metadata["name"])
        if managed is None:
            owned = {field: value for field, value in obj.items() if field != "status"}
            managed = ownership.after_update(kind, None, owned, options.manager, now, "")
        if managed:
            metadata["managedFields"] = managed
        return Written(self._store(kind, key, obj, options), created=True, warnings=tuple(warnings))

    def update(
        self, kind: Kind, namespace: str | None, name: str, obj: Object, options: WriteOptions, subresource: str = ""
    ) -> Written:
        """Replaces an object, or its status."""
        warnings = decoded(kind, obj, options)
        _place(kind, namespace, obj)
        _check_name(obj, name)
        record = self.read(kind, namespace, name)
        if not obj["metadata"].get("resourceVersion") and not kind.unconditional:
            why = [causes.invalid("metadata.resourceVersion", 0, "must be specified for an update")]
            raise errors.invalid(kind.group, kind.plural, name, why)
        return self._replace(kind, record, obj, options, subresource, tuple(warnings))

    def patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        change: Change,
        options: WriteOptions,
        subresource: str = "",
    ) -> Written:
        """Replaces an object, or its status, by what `change` makes of it."""
        record = self.read(kind, namespace, name)
        obj = copied(change(kind.shown(record.value)))
        if not isinstance(obj.get("metadata"), dict):
            raise errors.bad_request("a patch may not remove metadata")
        _place(kind, namespace, obj)
        _check_name(obj, name)
        try:
            warnings = decoded(kind, obj, options)
        except errors.ApiError as error:
            if "strict decoding error" not in error.message:
                raise
            problem = error.message[error.message.index("strict decoding error") :]
            raise errors.invalid("", "", "", [causes.invalid("patch", "", problem)]) from error
        return self._replace(kind, record, obj, options, subresource, tuple(warnings))

    def apply(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        applied: Object,
        options: WriteOptions,
        subresource: str = "",
    ) -> Written:
        """Server-side apply: creates the object, or takes over the fields that `applied` names."""
        record = self.store.get(kind.resource, object_key(namespace, name))
        for field, wanted in (("apiVersion", kind.api_version), ("kind", kind.kind)):
            if applied.get(field) != wanted:
                given = applied.get(field)
                raise errors.bad_request(f"the {field} of the patch is {given!r}, the URL asks for {wanted!r}")
        metadata = applied.setdefault("metadata", {})
        metadata.setdefault("name", name)
        _place(kind, namespace, applied)
        _check_name(applied, name)
        if "managedFields" in metadata:
            raise errors.bad_request("metadata.managedFields must be nil")
        warnings = decoded(kind, applied, options)
        if record is None and (subresource or metadata.get("uid")):
            raise errors.not_found(kind.group, kind.plural, name)
        live = None if record is None else kind.shown(record.value)
        merged = ownership.applied(kind, live, applied, options, self.clock(), subresource)
        if record is None:
            written = self.create(kind, namespace, copied(merged), options)
            return Written(written.record, created=True, warnings=tuple(warnings))
        return self._replace(kind, record, copied(merged), options, subresource, tuple(warnings), owned=True)

    def _replace(
        self,
        kind: Kind,
        record: Record,
        new: Object,
        options: WriteOptions,
        subresource: str,
        warnings: tuple[str, ...],
        *,
        owned: bool = False,
    ) -> Written:
        """The common end of update, patch and apply. `owned`: the managed fields are already right."""
        old = kind.shown(record.value)
        self._check_preconditions(kind, record, new["metadata"])
        new = _isolated(kind, new, old, subresource)
        for key in _FIXED_METADATA:
            if key in old["metadata"]:
                new["metadata"][key] = old["metadata"][key]
            else:
                new["metadata"].pop(key, None)
        kind.rules.default(new)
        found = kind.rules.validate(new, old)
        if found:
            raise errors.invalid(kind.group, kind.kind, record.value["metadata"]["name"], found)
        if kind.generation and _wanted(kind, new) != _wanted(kind, old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if not owned:
            managed = ownership.after_update(kind, old, new, options.manager, self.clock(), subresource)
            new["metadata"].pop("managedFields", None)
            if managed:
                new["metadata"]["managedFields"] = managed
        if ownership.unchanged(old, new):
            return Written(record, warnings=warnings)
        if new["metadata"].get("deletionTimestamp") and released(kind, new) and not options.dry_run:
            last = new if kind.to_stored is None else kind.to_stored(new)
            return Written(self.store.remove(kind.resource, record.key, last), warnings=warnings)
        return Written(self._store(kind, record.key, new, options), warnings=warnings)

    def _check_preconditions(self, kind: Kind, record: Record, given: Object) -> None:
        name = record.value["metadata"]["name"]
        version, uid = given.get("resourceVersion"), given.get("uid")
        if uid and uid != record.uid:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {record.uid}"
            raise errors.conflict(kind.group, kind.plural, name, why)
        if version and version not in ("0", str(record.version)):
            raise errors.stale(kind.group, kind.plural, name)

    def _store(self, kind: Kind, key: str, obj: Object, options: WriteOptions) -> Record:
        stored = obj if kind.to_stored is None else kind.to_stored(obj)
        if options.dry_run:
            return Record(key, self.store.version, stored)
        return self.store.put(kind.resource, key, stored)

    def _generated_name(self, kind: Kind, namespace: str | None, prefix: str) -> str:
        for _ in range(_NAME_TRIES):
            name = prefix[: 63 - _SUFFIX_LENGTH] + "".join(random.choices(_SUFFIX_LETTERS, k=_SUFFIX_LENGTH))
            if self.store.get(kind.resource, object_key(namespace, name)) is None:
                return name
        raise errors.already_exists(kind.group, kind.plural, prefix)


def decoded(kind: Kind, obj: Object, options: WriteOptions) -> list[str]:
    """Checks the object's type, removes its unknown fields in place and returns the warnings about them."""
    _check_type(kind, obj)
    prefix = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
    try:
        unknown = kind.rules.decode(obj)
    except DecodeError as error:
        raise errors.bad_request(prefix + str(error)) from error
    told = [f'unknown field "{path}"' for path in unknown]
    if told and options.validation == "Strict":
        raise errors.bad_request(f"{prefix}strict decoding error: {', '.join(told)}")
    return told if options.validation == "Warn" else []


def _check_type(kind: Kind, obj: Object) -> None:
    given, version = obj.get("kind"), obj.get("apiVersion")
    if kind.custom:
        for field, value in (("Kind", given), ("apiVersion", version)):
            if not value:
                raise errors.bad_request(f"Object '{field}' is missing in the body of the request")
        if given != kind.kind:
            why = [causes.invalid("kind", given, f"must be {kind.kind}")]
            raise errors.invalid(kind.group, str(given), obj.get("metadata", {}).get("name", ""), why)
        if version != kind.api_version:
            why = [causes.invalid("apiVersion", version, f"must be {kind.api_version}")]
            raise errors.invalid(kind.group, kind.kind, obj.get("metadata", {}).get("name", ""), why)
    elif (given or kind.kind) != kind.kind or (version or kind.api_version) != kind.api_version:
        raise errors.bad_request(
            f"{given} in version {version!r} cannot be handled as a {kind.kind} ({kind.api_version})"
        )
    obj |= {"apiVersion": kind.api_version, "kind": kind.kind}


def _place(kind: Kind, namespace: str | None, obj: Object) -> None:
    """The namespace of the URL becomes the object's; another one in the body is refused."""
    metadata = obj.setdefault("metadata", {})
    given = metadata.get("namespace")
    if given and given != namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if kind.namespaced:
        metadata["namespace"] = namespace


def _check_name(obj: Object, name: str) -> None:
    given = obj["metadata"].get("name", "")
    if given != name:
        raise errors.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def _isolated(kind: Kind, new: Object, old: Object, subresource: str) -> Object:
    """What the endpoint may write: everything but the status, or nothing but the status."""
    if subresource == "status":
        kept = copied({key: value for key, value in old.items() if key != "status"})
        metadata = kept["metadata"]
        for key in ("managedFields", *(("labels", "annotations") if not kind.custom else ())):
            if key in new["metadata"]:
                metadata[key] = new["metadata"][key]
        status = {"status": new["status"]} if "status" in new else {}
        return kept | status
    if "status" not in kind.subresources:
        return new
    isolated = {key: value for key, value in new.items() if key != "status"}
    return isolated | copied({"status": old["status"]}) if "status" in old else isolated


def _wanted(kind: Kind, obj: Object) -> Object:
    """The part whose changes the generation counts."""
    if not kind.custom:
        return {"spec": obj.get("spec")}
    outside = {"metadata", "status"} if "status" in kind.subresources else {"metadata"}
    return {key: value for key, value in obj.items() if key not in outside}


def released(kind: Kind, obj: Object) -> bool:
    """Whether nothing holds an object that is being deleted any more."""
    metadata = obj["metadata"]
    held = metadata.get("finalizers") or (kind.resource == "namespaces" and obj["spec"].get("finalizers"))
    return not held and not metadata.get("deletionGracePeriodSeconds")
