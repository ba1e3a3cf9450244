"""Why a value is refused, in the vocabulary of Kubernetes' Status causes.

One builder for each reason; the message is worded as the real API server words it, so that clients, tests and people
read the same sentence from the pocket.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of a Status's `details.causes`."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def summary(causes: Iterable[Cause]) -> str:
    """The causes as they close the message of an Invalid status: one plain, several in brackets, none twice."""
    told = list(dict.fromkeys(map(str, causes)))
    return told[0] if len(told) == 1 else f"[{', '.join(told)}]"


def invalid(field: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueInvalid", field, f"Invalid value: {shown(value)}: {detail}")


def refused(field: str, value: Any, detail: str) -> Cause:
    """By a rule: objects and lists are not shown."""
    told = "" if isinstance(value, (Mapping, list)) else f"{shown(value)}: "
    return Cause("FieldValueInvalid", field, f"Invalid value: {told}{detail}")


def type_invalid(field: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueTypeInvalid", field, f"Invalid value: {shown(value)}: {detail}")


def required(field: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")


def not_supported(field: str, value: Any, allowed: Sequence[Any]) -> Cause:
    listed = ", ".join(json.dumps(item if isinstance(item, str) else shown(item)) for item in allowed)
    return Cause("FieldValueNotSupported", field, f"Unsupported value: {shown(value)}: supported values: {listed}")


def too_long(field: str, limit: int) -> Cause:
    return Cause("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")


def too_many(field: str, count: int, limit: int) -> Cause:
    return Cause("FieldValueTooMany", field, f"Too many: {count}: must have at most {limit} items")


def duplicate(field: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", field, f"Duplicate value: {shown(value)}")


def forbidden(field: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", field, f"Forbidden: {detail}")


BLOCKING: Final = frozenset(
    f"FieldValue{reason}" for reason in ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid")
)
"""The reasons after which a schema's rules do not run."""


def shown(value: Any) -> str:
    """A value as Go prints it in these messages."""
    if value is None:
        return '"null"'
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def child(path: str, name: str) -> str:
    """The path of a field: `spec` + `mode` -> `spec.mode`."""
    return f"{path}.{name}" if path else name


UNCHECKED: Final = invalid(
    "<nil>",
    None,
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)
"""What is added when the rules of a schema did not run because the value does not even have its shape."""
