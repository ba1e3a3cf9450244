"""Where the server gets the logs of pods: from whoever runs them, by this protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trireme.pocket.apiserver import errors
from trireme.pocket.apiserver.options import is_true

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What part of a log is wanted. `since_seconds` counts back from now; `limit_bytes` cuts the answer short."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    limit_bytes: int | None = None


class LogSource(Protocol):
    """Implemented by the kubelet. Raises LookupError (with a message) for a log that it does not have."""

    def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Chunks of the container's log, in order; with `follow`, until the container ends."""


def log_options(query: Mapping[str, str]) -> LogOptions:
    """Raises ApiError (400)."""

    def number(name: str) -> int | None:
        text = query.get(name)
        if text is None:
            return None
        if not text.isdigit():
            raise errors.bad_request(f"{name} must be a number that is not negative, not {text!r}")
        return int(text)

    return LogOptions(
        follow=is_true(query.get("follow", "")),
        previous=is_true(query.get("previous", "")),
        timestamps=is_true(query.get("timestamps", "")),
        tail_lines=number("tailLines"),
        since_seconds=number("sinceSeconds"),
        limit_bytes=number("limitBytes"),
    )


def container_of(pod: Object, asked: str | None) -> str:
    """The container whose log is meant. Raises ApiError (400) if it is none of the pod's or has to be named."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    choices = [each["name"] for field in ("containers", "initContainers") for each in spec.get(field, ())]
    if asked:
        if asked not in choices:
            raise errors.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(choices) > 1:
        listed = " ".join(choices)
        raise errors.bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    return str(choices[0])
