"""Events: one stored object seen through two kinds, core/v1 and events.k8s.io/v1, and the rules of the newer one."""

from __future__ import annotations

from typing import Any, Final

from trireme.pocket.apiserver.validation import checks
from trireme.pocket.objects import causes
from trireme.pocket.objects.causes import Cause

Object = dict[str, Any]

_NOTE_LIMIT: Final = 1024
_NEW_NAMES: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_OLD_NAMES: Final = {new: old for old, new in _NEW_NAMES.items()}


def to_core(event: Object) -> Object:
    """The core/v1 form, which is stored, of an events.k8s.io/v1 event."""
    renamed = {_OLD_NAMES.get(key, key): value for key, value in event.items()}
    return {"source": {}, **renamed, "apiVersion": "v1"}


def from_core(event: Object) -> Object:
    """The events.k8s.io/v1 form of a stored event."""
    renamed = {_NEW_NAMES.get(key, key): value for key, value in event.items()}
    return {**renamed, "apiVersion": "events.k8s.io/v1"}


def validate_core(event: Object) -> list[Cause]:
    """A core/v1 event: it lies in the namespace of what it is about."""
    about = event.get("involvedObject", {}).get("namespace", "")
    here = event["metadata"].get("namespace", "")
    if event.get("eventTime"):
        return _validate_new(event, _OLD_NAMES)
    if about != here and (about or here != "default"):
        return [causes.invalid("involvedObject.namespace", about, "does not match event.namespace")]
    return []


def validate(event: Object) -> list[Cause]:
    """An events.k8s.io/v1 event."""
    return _validate_new(event, {})


def _validate_new(event: Object, names: dict[str, str]) -> list[Cause]:
    def field(name: str) -> str:
        return names.get(name, name)

    found = [causes.required(field(name)) for name in ("eventTime", "reason", "action") if not event.get(field(name))]
    for name in ("reportingController", "reportingInstance"):
        if not event.get(field(name)):
            found.append(causes.required(field(name)))
    if len(event.get("reason", "")) > 128:
        found.append(causes.invalid("reason", "", "can have at most 128 characters"))
    if len(event.get("action", "")) > 128:
        found.append(causes.invalid("action", "", "can have at most 128 characters"))
    if len(event.get(field("note"), "").encode()) > _NOTE_LIMIT:
        found.append(causes.invalid(field("note"), "", f"can have at most {_NOTE_LIMIT} characters"))
    found += checks.one_of("type", event.get("type"), ("Normal", "Warning"))
    series = event.get("series")
    if series is not None and series.get("count", 0) < 2:
        found.append(causes.invalid("series.count", series.get("count"), "should be at least 2"))
    return found
