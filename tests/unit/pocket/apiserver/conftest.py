"""A store with the built-in kinds and the server's controllers, without a server and with a clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from trireme.pocket.apiserver.builtin.kinds import BUILT_IN
from trireme.pocket.apiserver.controllers import Controllers
from trireme.pocket.apiserver.deletion import delete
from trireme.pocket.apiserver.kinds import Kind, Registry
from trireme.pocket.apiserver.operations import Operations
from trireme.pocket.apiserver.options import DeleteOptions, WriteOptions
from trireme.pocket.apiserver.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """Short verbs for tests; every write is followed by whatever the controllers make of it."""

    operations: Operations
    controllers: Controllers

    def kind(self, plural: str) -> Kind:
        return next(kind for kind in self.operations.registry if kind.plural == plural)

    def create(self, plural: str, name: str, **content: Any) -> dict[str, Any]:
        metadata = {"name": name, **content.pop("metadata", {})}
        kind = self.kind(plural)
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}
        namespace = "default" if kind.namespaced else None
        made = self.operations.create(kind, namespace, body, WriteOptions(manager="test")).record.value
        self.controllers.settle()
        return made

    def patch(self, plural: str, name: str, subresource: str = "", **changes: Any) -> dict[str, Any]:
        kind = self.kind(plural)
        namespace = "default" if kind.namespaced else None
        written = self.operations.patch(
            kind, namespace, name, lambda obj: {**obj, **changes}, WriteOptions(manager="test"), subresource
        )
        self.controllers.settle()
        return written.record.value

    def delete(self, plural: str, name: str, **options: Any) -> None:
        kind = self.kind(plural)
        record = self.operations.read(kind, "default" if kind.namespaced else None, name)
        delete(self.operations.store, self.operations.clock, kind, record, DeleteOptions(**options))
        self.controllers.settle()

    def get(self, plural: str, name: str) -> dict[str, Any] | None:
        kind = self.kind(plural)
        key = f"default/{name}" if kind.namespaced else name
        record = self.operations.store.get(kind.resource, key)
        return None if record is None else record.value


@pytest.fixture
def world() -> World:
    registry = Registry()
    for kind in BUILT_IN:
        registry.add(kind)
    operations = Operations(Store(), registry, lambda: NOW)
    controllers = Controllers(operations)
    controllers.create_first_namespaces()
    return World(operations, controllers)
