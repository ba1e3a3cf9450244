"""What lies in a pod's volumes, as values. Pure; `disk` writes it.

Paths are relative to the volume's folder. Modes and defaults are those of the core/v1 volume sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from trireme.pocket.kubelet.environment import ConfigurationError, Object, PodFacts, Sources

_DEFAULT_MODE = 0o644
SHARED_MEMORY = "/dev/shm"
"""Every process of the machine has it; an `emptyDir` in memory that is mounted there needs nothing."""


@dataclass(frozen=True)
class File:
    path: str
    data: bytes
    mode: int


def files(volume: Object, facts: PodFacts, sources: Sources) -> list[File]:
    """Files of a configMap, secret, downwardAPI or projected volume, none for others. Raises ConfigurationError."""
    if projected := volume.get("projected"):
        mode = projected.get("defaultMode", _DEFAULT_MODE)
        parts = [part for source in projected.get("sources") or [] for part in _source(source, mode, facts, sources)]
        return list({part.path: part for part in parts}.values())
    mode = next((v.get("defaultMode", _DEFAULT_MODE) for v in volume.values() if isinstance(v, dict)), _DEFAULT_MODE)
    return list(_source(volume, mode, facts, sources))


def _source(source: Object, mode: int, facts: PodFacts, sources: Sources) -> Iterator[File]:
    if "configMap" in source:
        yield from _keys("config", source["configMap"], sources.config_map(source["configMap"]), mode)
    elif "secret" in source:
        yield from _keys("secret", source["secret"], sources.secret(source["secret"]), mode)
    elif "downwardAPI" in source:
        for item in source["downwardAPI"].get("items") or []:
            if "fieldRef" in item:
                text = facts.field(item["fieldRef"]["fieldPath"])
            else:
                text = facts.resource(item["resourceFieldRef"], {})
            yield File(_safe(item["path"]), text.encode(), item.get("mode", mode))


def _keys(kind: str, source: Object, data: dict[str, bytes] | None, mode: int) -> Iterator[File]:
    if data is None:
        return
    items = source.get("items")
    if items is None:
        yield from (File(_safe(key), value, mode) for key, value in data.items())
        return
    for item in items:
        if item["key"] in data:
            yield File(_safe(item["path"]), data[item["key"]], item.get("mode", mode))
        elif not source.get("optional"):
            raise ConfigurationError(f"references non-existent {kind} key: {item['key']}")


def _safe(path: str) -> str:
    """Guards against an API server that does not validate: a file never leaves its volume."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise ConfigurationError(f"invalid path in a volume: {path}")
    return path
