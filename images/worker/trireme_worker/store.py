"""The key-value store behind Horovod's gloo rendezvous: one growing list of entries a scope. Pure.

Agents follow a scope from a position on, so that the coordinator sends every value once a pod, however many ranks ask
for it. A scope is dropped when its ranks are connected; its name may be used again (`hvd.init` after `hvd.shutdown`).
"""

from __future__ import annotations

BATCH_BYTES = 1024 * 1024
"""Most bytes of one answer, unless one value is longer: a hundred pods ask at once, and an answer has a deadline."""


class Store:
    def __init__(self) -> None:
        self._scopes: dict[str, list[tuple[str, bytes]]] = {}

    def put(self, scope: str, key: str, value: bytes) -> None:
        self._scopes.setdefault(scope, []).append((key, value))

    def after(self, scope: str, position: int) -> list[tuple[str, bytes]]:
        """The next entries from a position on: the reader's next position is as many further."""
        batch: list[tuple[str, bytes]] = []
        size = 0
        for key, value in self._scopes.get(scope, [])[position:]:
            size += len(value)
            if batch and size > BATCH_BYTES:
                break
            batch.append((key, value))
        return batch

    def drop(self, scope: str) -> None:
        self._scopes.pop(scope, None)
