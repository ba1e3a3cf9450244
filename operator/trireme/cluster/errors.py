"""What can go wrong between us and an API server: it answered no, it did not answer, or we must not ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """The API server refused a request (metav1.Status).

    The text says what was asked and what the server said; `message` is the server's part alone, fit for a user.
    """

    def __init__(
        self,
        request: str,
        status: int,
        reason: str,
        message: str,
        causes: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{request}: {message} ({status} {reason})" if status else f"{request}: {message}")
        self.status = status
        """HTTP status; 0 when there was no answer."""
        self.reason = reason
        """Machine-readable: `AlreadyExists`, `Invalid`, ..."""
        self.message = message
        self.causes = causes
        """`field: message` of each wrong field."""
        self.retry_after = retry_after
        """Seconds the server asks us to wait."""

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def already_exists(self) -> bool:
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        """The object is not, or no longer, the one that the request means."""
        return self.status == 409 and self.reason != "AlreadyExists"

    @property
    def gone(self) -> bool:
        """The resource version or continue token is too old: list again."""
        return self.status == 410

    @property
    def refused(self) -> bool:
        """The request itself is at fault, or policy forbids it: the same one later may be refused again."""
        return self.status in (400, 403, 413, 422)

    @property
    def retriable(self) -> bool:
        """The same request may well succeed later."""
        return self.status in (0, 408, 429) or self.status >= 500


class Unreachable(ApiError):
    """No answer: connection refused, broken or silent."""

    def __init__(self, request: str, why: str) -> None:
        super().__init__(request, 0, "Unreachable", why)


class Fenced(ApiError):
    """A write that was not sent, or was given up: others may write by now (Fence)."""

    def __init__(self) -> None:
        super().__init__("write", 0, "Fenced", "leadership is lost, or may be by now")


class BadKubeconfig(OSError):
    """There is no usable description of a cluster; the text says where was looked and what is wrong."""


def from_status(request: str, status: int, phrase: str, body: Any, retry_after: float | None) -> ApiError:
    """`body`: the decoded answer, a metav1.Status when it comes from the API server and not from a proxy before it."""
    told: Mapping[str, Any] = body if isinstance(body, dict) else {}
    details = told.get("details") or {}
    causes = tuple(f"{c.get('field', '')}: {c.get('message', '')}" for c in details.get("causes") or ())
    if retry_after is None and details.get("retryAfterSeconds"):
        retry_after = float(details["retryAfterSeconds"])
    message = told.get("message") or phrase or "no reason given"
    return ApiError(request, status, told.get("reason") or phrase, message, causes, retry_after)
