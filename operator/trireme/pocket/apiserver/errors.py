"""Refusals, as the `Status` objects in which Kubernetes words them. It must not know HTTP beyond the code's number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from trireme.pocket.objects.causes import Cause, summary


class ApiError(Exception):
    """A refusal. `status` is the body of the answer, `code` its HTTP status, `retry_after` a header in seconds."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        retry_after: int | None = None,
        continue_token: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        if retry_after is not None:
            details = {**(details or {}), "retryAfterSeconds": retry_after}
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": continue_token} if continue_token else {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({"details": details} if details is not None else {}),
            "code": code,
        }


def success(name: str, group: str, plural: str, uid: str) -> dict[str, Any]:
    """The answer to a deletion that left nothing behind."""
    details = {"name": name, **({"group": group} if group else {}), "kind": plural, "uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, why: str, causes: Sequence[Cause] = ()) -> ApiError:
    details = _details(name, group, plural, causes)
    return ApiError(403, "Forbidden", f'{_resource(plural, group)} "{name}" is forbidden: {why}', details)


def not_found(group: str, plural: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{_resource(plural, group)} "{name}" not found', _details(name, group, plural))


def no_such_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed(method: str) -> ApiError:
    return ApiError(405, "MethodNotAllowed", f"the server does not allow {method} on the requested resource", {})


def already_exists(group: str, plural: str, name: str) -> ApiError:
    message = f'{_resource(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(name, group, plural))


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {_resource(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(name, group, plural))


def stale(group: str, plural: str, name: str) -> ApiError:
    """The 409 of optimistic concurrency."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(group, plural, name, why)


def apply_conflict(message: str, causes: Sequence[Cause]) -> ApiError:
    """The 409 of a server-side apply that would change what others own."""
    return ApiError(409, "Conflict", message, {"causes": _causes(causes)})


def expired(message: str, continue_token: str | None = None) -> ApiError:
    return ApiError(410, "Expired", message, continue_token=continue_token)


def too_large(limit: int) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media_type(sent: str, accepted: Iterable[str]) -> ApiError:
    message = (
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
        if sent
        else "the request carries no Content-Type"
    )
    return ApiError(415, "UnsupportedMediaType", message)


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """The 422 with its causes; `kind` is the kind's name, not the plural."""
    message = f'{_resource(kind, group)} "{name}" is invalid: {summary(causes)}'
    return ApiError(422, "Invalid", message, _details(name, group, kind, causes))


def unprocessable(message: str) -> ApiError:
    """A patch that is well formed and cannot be carried out."""
    return ApiError(422, "Invalid", message, {})


def too_many_requests(seconds: int, message: str = "the server has received too many requests") -> ApiError:
    return ApiError(429, "TooManyRequests", message, retry_after=seconds)


def internal(message: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")


def not_in_the_pocket(what: str) -> ApiError:
    return ApiError(501, "NotImplemented", f"the pocket cluster does not offer {what}")


def version_from_the_future(asked: int, current: int) -> ApiError:
    message = f"Too large resource version: {asked}, current: {current}"
    cause = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(504, "Timeout", message, {"causes": cause}, retry_after=1)


def _resource(name: str, group: str) -> str:
    return f"{name}.{group}" if group else name


def _details(name: str, group: str, kind: str, causes: Sequence[Cause] = ()) -> dict[str, Any]:
    return {
        **({"name": name} if name else {}),
        **({"group": group} if group else {}),
        "kind": kind,
        **({"causes": _causes(causes)} if causes else {}),
    }


def _causes(causes: Sequence[Cause]) -> list[dict[str, str]]:
    return [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
