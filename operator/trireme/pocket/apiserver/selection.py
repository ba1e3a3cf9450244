"""Which objects a list or watch shows: selectors, pages and resource versions, from the query to the store's terms."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from trireme.pocket.apiserver import errors
from trireme.pocket.apiserver.kinds import Kind
from trireme.pocket.apiserver.store import Expired, Matches, Page, Store
from trireme.pocket.objects import causes
from trireme.pocket.objects.selectors import field_terms, parse_fields, parse_labels

Object = dict[str, Any]
Query = Mapping[str, str]

_ALWAYS_SELECTABLE: Final = frozenset({"metadata.name", "metadata.namespace"})
_TOO_OLD: Final = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter."
)


@dataclass(frozen=True, slots=True)
class Selection:
    """The objects of a kind under a key prefix that match; `matches` None: all of them."""

    prefix: str
    matches: Matches | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page and what the answer says about those after it."""

    page: Page
    next: str = ""
    remaining: int | None = None


def selection(kind: Kind, namespace: str | None, query: Query) -> Selection:
    """Raises ApiError (400) for a selector that cannot be read or names a field that the kind does not offer."""
    prefix = f"{namespace}/" if namespace else ""
    labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
    tests: list[Matches] = []
    try:
        if labels:
            has_labels = parse_labels(labels)
            tests.append(lambda obj: has_labels(obj["metadata"].get("labels") or {}))
        if fields:
            terms = field_terms(fields)
            for path, value, wanted in terms:
                if path not in _ALWAYS_SELECTABLE and path not in kind.selectable:
                    raise ValueError(f"field label not supported: {path}")
                if path == "metadata.name" and wanted and (namespace or not kind.namespaced):
                    prefix += value
            has_fields = parse_fields(fields)
            shown = kind.from_stored
            tests.append(has_fields if shown is None else lambda obj: has_fields(shown(obj)))
    except ValueError as error:
        raise errors.bad_request(str(error)) from error
    if not tests:
        return Selection(prefix, None)
    return Selection(prefix, tests[0] if len(tests) == 1 else lambda obj: all(test(obj) for test in tests))


def listing(store: Store, kind: Kind, namespace: str | None, query: Query) -> Listing:
    """One page of a list. Raises ApiError: 400, 410 for a state that is forgotten, 504 for one yet to come."""
    chosen = selection(kind, namespace, query)
    limit, token = _number(query, "limit"), query.get("continue", "")
    version, after = _decoded(token) if token else (_exact_version(store, query), "")
    try:
        page = store.page(
            kind.resource, prefix=chosen.prefix, matches=chosen.matches, version=version, after=after, limit=limit
        )
    except Expired as error:
        if not token:
            raise errors.expired(str(error)) from error
        raise errors.expired(_TOO_OLD, _encoded(store.version, after)) from error
    if not page.rest:
        return Listing(page)
    remaining = page.rest if chosen.matches is None else None
    return Listing(page, _encoded(page.version, page.records[-1].key + "\0"), remaining)


def watch_start(query: Query) -> int | None:
    """The version after which a watch begins; None: it begins with the objects that are there."""
    version = _version(query)
    return version or None


def wants_initial_events(query: Query) -> bool:
    """Raises ApiError (422) unless the parameters of a streaming list go together."""
    given, match = query.get("sendInitialEvents"), query.get("resourceVersionMatch")
    if given is None:
        if match:
            why = [causes.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden for watch")]
            raise errors.invalid("meta.k8s.io", "ListOptions", "", why)
        return False
    if match != "NotOlderThan":
        why = [
            causes.forbidden(
                "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
        ]
        raise errors.invalid("meta.k8s.io", "ListOptions", "", why)
    return given.lower() in ("1", "t", "true")


def _exact_version(store: Store, query: Query) -> int | None:
    """The state that a list must show; None: the current one, which is newer than any that may be asked for."""
    version, match = _version(query), query.get("resourceVersionMatch")
    if match and "resourceVersion" not in query:
        why = [
            causes.forbidden(
                "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        ]
        raise errors.invalid("meta.k8s.io", "ListOptions", "", why)
    if match not in (None, "", "Exact", "NotOlderThan"):
        why = [causes.not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan"))]
        raise errors.invalid("meta.k8s.io", "ListOptions", "", why)
    if version > store.version:
        raise errors.version_from_the_future(version, store.version)
    return version if match == "Exact" else None


def _version(query: Query) -> int:
    text = query.get("resourceVersion", "") or "0"
    if not text.isdigit():
        why = [causes.invalid("resourceVersion", text, "strconv.ParseUint: invalid syntax")]
        raise errors.invalid("meta.k8s.io", "ListOptions", "", why)
    return int(text)


def _number(query: Query, name: str) -> int:
    text = query.get(name, "") or "0"
    if not text.isdigit():
        raise errors.bad_request(f"{name} must be a number that is not negative, not {text!r}")
    return int(text)


def _encoded(version: int, after: str) -> str:
    token = msgspec.json.encode({"v": "meta.k8s.io/v1", "rv": version, "start": after})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _decoded(token: str) -> tuple[int, str]:
    try:
        value = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(value["rv"]), str(value["start"])
    except (binascii.Error, ValueError, KeyError, TypeError, msgspec.DecodeError) as error:
        raise errors.bad_request(f"continue key is not valid: {error}") from error
