"""The smallest JSON merge patch (RFC 7396) from one status to the next. Pure."""

from __future__ import annotations

from typing import Any

from trireme.spec.status import JobStatus

Json = dict[str, Any]

_KNOWN = frozenset(field.alias or name for name, field in JobStatus.model_fields.items())


def status_patch(written: Json, status: JobStatus) -> Json:
    """Empty when nothing changed. `written`: `.status` as the API server has it; what we do not know of it stays."""
    old = {key: value for key, value in written.items() if key in _KNOWN}
    return _difference(old, status.model_dump(mode="json", by_alias=True, exclude_none=True))


def _difference(old: Json, new: Json) -> Json:
    patch: Json = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            inner = _difference(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or value != before:
            patch[key] = value
    return patch
