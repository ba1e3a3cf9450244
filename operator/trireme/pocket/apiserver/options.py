"""The parameters of a request, parsed once and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from trireme.pocket.apiserver import errors
from trireme.pocket.apiserver.validation import checks
from trireme.pocket.objects import causes

Query = Mapping[str, str]
FieldValidation = Literal["Strict", "Warn", "Ignore"]
Propagation = Literal["Foreground", "Background", "Orphan"]


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a create, update or patch is to be done. `manager` owns the fields that the request sets."""

    manager: str = ""
    dry_run: bool = False
    validation: FieldValidation = "Warn"
    force: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How an object is to be deleted. `grace` is in seconds; None leaves it to the object."""

    propagation: Propagation = "Background"
    grace: int | None = None
    uid: str | None = None
    version: str | None = None
    dry_run: bool = False


def write_options(query: Query, user_agent: str, kind: str = "CreateOptions") -> WriteOptions:
    """Raises ApiError (422) for values that Kubernetes refuses."""
    validation = query.get("fieldValidation") or "Warn"
    manager = query.get("fieldManager", "")
    found = checks.one_of("fieldValidation", validation, ("Ignore", "Strict", "Warn"))
    if len(manager) > 128:
        found.append(causes.too_long("fieldManager", 128))
    if found:
        raise errors.invalid("meta.k8s.io", kind, "", found)
    return WriteOptions(
        manager=manager or user_agent.partition("/")[0][:128] or "unknown",
        dry_run=_dry_run([query["dryRun"]] if "dryRun" in query else [], kind),
        validation=cast(FieldValidation, validation),
        force=is_true(query.get("force", "")),
    )


def apply_options(query: Query) -> WriteOptions:
    """As `write_options`; an apply must name its manager."""
    if not query.get("fieldManager"):
        why = [causes.required("fieldManager", "is required for apply patch")]
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", why)
    return write_options(query, "", "PatchOptions")


def delete_options(query: Query, body: Any) -> DeleteOptions:
    """From the body where there is one, else from the query. Raises ApiError."""
    given = body if isinstance(body, dict) else {}
    if body is not None and not isinstance(body, dict):
        raise errors.bad_request("the body of a deletion must be DeleteOptions")
    propagation = given.get("propagationPolicy") or query.get("propagationPolicy")
    orphan = given.get("orphanDependents", query.get("orphanDependents") and is_true(query["orphanDependents"]))
    grace = given.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    preconditions = given.get("preconditions") or {}
    if propagation is None:
        propagation = "Orphan" if orphan else "Background"
    if found := checks.one_of("propagationPolicy", propagation, ("Background", "Foreground", "Orphan")):
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", found)
    try:
        seconds = None if grace is None else int(grace)
    except (TypeError, ValueError) as error:
        raise errors.bad_request(f"gracePeriodSeconds: {error}") from error
    dry_run = given.get("dryRun") or ([query["dryRun"]] if "dryRun" in query else [])
    return DeleteOptions(
        propagation=cast(Propagation, propagation),
        grace=seconds,
        uid=preconditions.get("uid"),
        version=preconditions.get("resourceVersion"),
        dry_run=_dry_run(dry_run, "DeleteOptions"),
    )


def is_true(text: str) -> bool:
    return text.lower() in ("1", "t", "true")


def _dry_run(values: list[str], kind: str) -> bool:
    for value in values:
        if found := checks.one_of("dryRun", value, ("All",)):
            raise errors.invalid("meta.k8s.io", kind, "", found)
    return bool(values)
