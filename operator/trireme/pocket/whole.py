"""Whole objects for the informer: the pocket's scheduler and kubelet read most of a pod, so nothing is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Whole:
    """A record of `cluster.informer`."""

    object: Object

    @property
    def namespace(self) -> str:
        return str(self.object["metadata"].get("namespace", ""))

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.object["metadata"]["uid"])

    @property
    def resource_version(self) -> str:
        return str(self.object["metadata"]["resourceVersion"])


def decode(data: msgspec.Raw) -> Whole:
    return Whole(msgspec.json.decode(data))
