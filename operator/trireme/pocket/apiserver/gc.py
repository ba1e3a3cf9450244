"""Garbage collection by owner references: background, foreground and orphan, and owners that were never there.

It keeps two indexes up to date with every change of the store and acts later, when `collect` is called.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from trireme.pocket.apiserver.deletion import FOREGROUND, ORPHAN, delete
from trireme.pocket.apiserver.kinds import Clock, Registry
from trireme.pocket.apiserver.options import DeleteOptions
from trireme.pocket.apiserver.store import Event, Record, Store

Object = dict[str, Any]
Place = tuple[str, str]
"""A resource of the store and a key in it."""


class GarbageCollector:
    """Deletes what nobody owns any more. Nothing here awaits; each call of `collect` finishes what is due."""

    def __init__(self, store: Store, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._living: dict[str, Place] = {}
        self._dependents: defaultdict[str, dict[Place, None]] = defaultdict(dict)
        self._due: dict[Place, None] = {}

    def observe(self, event: Event) -> None:
        """Keeps the indexes and notes whose turn comes."""
        place = (event.resource, event.record.key)
        before = _owners(event.before)
        after = _owners(event.after)
        for uid in before - after:
            self._dependents[uid].pop(place, None)
            if not self._dependents[uid]:
                del self._dependents[uid]
        for uid in after - before:
            self._dependents[uid][place] = None
        if event.after is None:
            self._living.pop(event.record.uid, None)
            for dependent in self._dependents.get(event.record.uid, ()):
                self._due[dependent] = None
            for uid in before:
                self._due.update({self._living[uid]: None} if uid in self._living else {})
            return
        self._living[event.record.uid] = place
        if after - before or event.after.value["metadata"].get("deletionTimestamp"):
            self._due[place] = None
            for uid in after:
                self._due.update({self._living[uid]: None} if uid in self._living else {})

    @property
    def due(self) -> bool:
        return bool(self._due)

    def collect(self) -> None:
        """Carries out everything that is due, and what follows from it."""
        while self._due:
            place = next(iter(self._due))
            del self._due[place]
            record = self._store.get(*place)
            if record is not None:
                self._visit(place, record)

    def _visit(self, place: Place, record: Record) -> None:
        metadata = record.value["metadata"]
        if metadata.get("deletionTimestamp"):
            self._finish(place, record)
            return
        owners = metadata.get("ownerReferences", ())
        present = [owner for owner in owners if self._is_present(owner, metadata.get("namespace"))]
        if not owners:
            return
        waiting = [owner for owner in present if self._waits(owner)]
        if present and len(waiting) < len(present):
            if len(present) < len(owners):
                self._rewrite(place, record, {**metadata, "ownerReferences": present})
            return
        self._delete(place, record, foreground=bool(waiting) and record.uid in self._dependents)

    def _finish(self, place: Place, record: Record) -> None:
        """An object that is being deleted: its dependents go, or are let go, and then the mark does."""
        finalizers = record.value["metadata"].get("finalizers", ())
        dependents = list(self._dependents.get(record.uid, ()))
        if ORPHAN in finalizers:
            for dependent in dependents:
                self._disown(dependent, record.uid)
            self._unmark(place, ORPHAN)
        elif FOREGROUND in finalizers:
            blocking = [dependent for dependent in dependents if self._blocks(dependent, record.uid)]
            self._due.update(dict.fromkeys(place for place in dependents if not self._is_ending(place)))
            if not blocking:
                self._unmark(place, FOREGROUND)

    def _is_present(self, owner: Object, namespace: str | None) -> bool:
        """An owner counts if it lives in the dependent's namespace or in none."""
        place = self._living.get(owner["uid"])
        if place is None:
            return False
        owner_namespace, slash, _ = place[1].rpartition("/")
        return not slash or owner_namespace == namespace

    def _waits(self, owner: Object) -> bool:
        """Whether the owner waits, being deleted in the foreground, for its dependents."""
        record = self._store.get(*self._living[owner["uid"]])
        metadata = record.value["metadata"] if record else {}
        return bool(metadata.get("deletionTimestamp")) and FOREGROUND in metadata.get("finalizers", ())

    def _blocks(self, dependent: Place, owner_uid: str) -> bool:
        record = self._store.get(*dependent)
        owners = record.value["metadata"].get("ownerReferences", ()) if record else ()
        return any(owner["uid"] == owner_uid and owner.get("blockOwnerDeletion") for owner in owners)

    def _is_ending(self, place: Place) -> bool:
        record = self._store.get(*place)
        return record is None or bool(record.value["metadata"].get("deletionTimestamp"))

    def _disown(self, place: Place, uid: str) -> None:
        record = self._store.get(*place)
        if record is not None:
            metadata = record.value["metadata"]
            kept = [owner for owner in metadata.get("ownerReferences", ()) if owner["uid"] != uid]
            self._rewrite(place, record, {**metadata, "ownerReferences": kept})

    def _unmark(self, place: Place, mark: str) -> None:
        """Removes one of the collector's own finalizers, and the object where it was the last."""
        record = self._store.get(*place)
        kind = self._registry.stored(place[0])
        if record is None or kind is None:
            return
        metadata = record.value["metadata"]
        kept = [name for name in metadata.get("finalizers", ()) if name != mark]
        if kept or metadata.get("deletionGracePeriodSeconds"):
            self._rewrite(place, record, {**metadata, "finalizers": kept})
        else:
            last = {key: value for key, value in metadata.items() if key != "finalizers"}
            self._store.remove(*place, {**record.value, "metadata": last})

    def _rewrite(self, place: Place, record: Record, metadata: Object) -> None:
        kept = {key: value for key, value in metadata.items() if value or key not in ("finalizers", "ownerReferences")}
        self._store.put(*place, {**record.value, "metadata": kept})

    def _delete(self, place: Place, record: Record, *, foreground: bool) -> None:
        kind = self._registry.stored(place[0])
        if kind is not None:
            options = DeleteOptions(propagation="Foreground" if foreground else "Background")
            delete(self._store, self._clock, kind, record, options)


def _owners(record: Record | None) -> set[str]:
    if record is None:
        return set()
    return {owner["uid"] for owner in record.value["metadata"].get("ownerReferences", ())}
