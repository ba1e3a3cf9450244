"""The controllers that a cluster cannot do without: served kinds, namespaces, owners. All act on changes of the store.

What only updates the server's own tables happens with the change; what writes objects happens in `settle`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from trireme.pocket.apiserver import definitions
from trireme.pocket.apiserver.deletion import delete
from trireme.pocket.apiserver.errors import ApiError
from trireme.pocket.apiserver.gc import GarbageCollector
from trireme.pocket.apiserver.kinds import Kind, Registry
from trireme.pocket.apiserver.operations import Operations
from trireme.pocket.apiserver.options import DeleteOptions, WriteOptions
from trireme.pocket.apiserver.store import Event, Record

Object = dict[str, Any]

FIRST_NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")
_DEFINITIONS: Final = "customresourcedefinitions.apiextensions.k8s.io"
_CONTROLLER: Final = WriteOptions(manager="kube-controller-manager")


class Controllers:
    """`settle` brings the store to rest; `run` does so after every change until it is cancelled."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._store = operations.store
        self._registry: Registry = operations.registry
        self._collector = GarbageCollector(self._store, self._registry, operations.clock)
        self._served: dict[str, list[Kind]] = {}
        self._new_namespaces: list[str] = []
        self._ending: dict[tuple[str, str], None] = {}
        self._wake = asyncio.Event()
        self._store.on_change.append(self._observe)

    def create_first_namespaces(self) -> None:
        kind = self._kind("namespaces")
        for name in FIRST_NAMESPACES:
            self._operations.create(kind, None, {"metadata": {"name": name}}, _CONTROLLER)
        self.settle()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self.settle()

    def settle(self) -> None:
        """Does all that the changes so far call for, and what that calls for in turn."""
        settled = -1
        while settled != self._store.version:
            settled = self._store.version
            new_namespaces, self._new_namespaces = self._new_namespaces, []
            for name in new_namespaces:
                self._give_service_account(name)
            self._collector.collect()
            for place in list(self._ending):
                self._end(*place)

    def _observe(self, event: Event) -> None:
        self._collector.observe(event)
        if event.resource == _DEFINITIONS:
            self._serve(event.record.key, event.after)
        if event.resource == "namespaces" and event.change == "ADDED":
            self._new_namespaces.append(event.record.key)
        if event.resource in ("namespaces", _DEFINITIONS):
            place = (event.resource, event.record.key)
            if event.after is not None and event.after.value["metadata"].get("deletionTimestamp"):
                self._ending[place] = None
            else:
                self._ending.pop(place, None)
        if self._ending or self._new_namespaces or self._collector.due:
            self._wake.set()

    def _serve(self, name: str, record: Record | None) -> None:
        """Makes the kinds of a definition known, in the place of those it defined before."""
        for kind in self._served.pop(name, ()):
            self._registry.remove(kind)
        if record is None:
            self._store.close_watches(name)
        else:
            self._served[name] = definitions.kinds_of(record.value)
            for kind in self._served[name]:
                self._registry.add(kind)

    def _give_service_account(self, namespace: str) -> None:
        if self._store.get("serviceaccounts", f"{namespace}/default") is None:
            account = {"metadata": {"name": "default"}}
            try:
                self._operations.create(self._kind("serviceaccounts"), namespace, account, _CONTROLLER)
            except ApiError as error:
                if error.code not in (403, 404):
                    raise

    def _end(self, resource: str, key: str) -> None:
        """Empties what is being deleted, and lets it go once it is empty."""
        record = self._store.get(resource, key)
        if record is None:
            self._ending.pop((resource, key), None)
            return
        if resource == "namespaces":
            contents = [(each, f"{key}/") for each in self._registry.resources()]
        else:
            contents = [(record.key, "")]
        left = [self._empty(each, prefix) for each, prefix in contents]
        if any(left):
            return
        held = record.value["metadata"].get("finalizers", [])
        kept = [finalizer for finalizer in held if finalizer != definitions.CLEANUP]
        metadata = {name: value for name, value in record.value["metadata"].items() if name != "finalizers"}
        last = {**record.value, "metadata": {**metadata, **({"finalizers": kept} if kept else {})}}
        if resource == "namespaces":
            last["spec"] = {name: value for name, value in last["spec"].items() if name != "finalizers"}
        if not kept:
            self._store.remove(resource, key, last)
        elif last != record.value:
            self._store.put(resource, key, last)

    def _empty(self, resource: str, prefix: str) -> bool:
        """Deletes the objects with this prefix; says whether any are left."""
        kind = self._registry.stored(resource)
        if kind is None:
            return False
        found = self._store.records(resource, prefix)
        for record in found:
            if not record.value["metadata"].get("deletionTimestamp"):
                delete(self._store, self._operations.clock, kind, record, DeleteOptions())
        return bool(found) and bool(self._store.records(resource, prefix))

    def _kind(self, resource: str) -> Kind:
        kind = self._registry.stored(resource)
        if kind is None:
            raise LookupError(resource)
        return kind
