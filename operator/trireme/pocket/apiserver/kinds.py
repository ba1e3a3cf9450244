"""What the server must know of a kind to serve it: its names, its scope, its subresources and its rules.

Built-in kinds are rows of a table (`builtin.kinds`); custom kinds are made from their definitions (`custom`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from trireme.pocket.objects.causes import Cause
from trireme.pocket.objects.merge_keys import MergeKeys

Object = dict[str, Any]

READ_WRITE = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Rules(Protocol):
    """What a kind does to its objects. Every method may edit the object that it is given, and no other."""

    @property
    def strategic(self) -> bool:
        """Whether strategic merge patches are understood."""

    @property
    def merge_keys(self) -> MergeKeys:
        """Which lists merge by which keys."""

    def decode(self, obj: Object) -> list[str]:
        """Removes unknown fields and returns their paths. Raises DecodeError for a wrong type."""

    def default(self, obj: Object) -> None:
        """Fills in what the user left out."""

    def initialize(self, obj: Object) -> None:
        """Sets the first status of an object that is being created."""

    def validate(self, new: Object, old: Object | None) -> list[Cause]:
        """All that is wrong with `new`, which replaces `old` (None: it is being created)."""


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the scale subresource finds its three values, as keys from the object's root."""

    spec: tuple[str, ...]
    status: tuple[str, ...]
    selector: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind in one version."""

    group: str
    version: str
    kind: str
    plural: str
    rules: Rules
    singular: str = ""
    """Empty: the kind's name in lower case."""
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    verbs: tuple[str, ...] = READ_WRITE
    selectable: frozenset[str] = frozenset()
    """Paths that field selectors may name besides metadata.name and metadata.namespace."""
    generation: bool = False
    """Whether metadata.generation counts the changes of what the user wants."""
    unconditional: bool = True
    """Whether an update without a resourceVersion overwrites whatever is there."""
    custom: bool = False
    scale: ScalePaths | None = None
    columns: tuple[dict[str, Any], ...] = ()
    """Printer columns of a custom kind."""
    stored_as: str = ""
    """The resource in the store: versions of one kind, and both kinds of events, share one."""
    to_stored: Callable[[Object], Object] | None = None
    from_stored: Callable[[Object], Object] | None = None

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        return self.stored_as or (f"{self.plural}.{self.group}" if self.group else self.plural)

    def shown(self, stored: Object) -> Object:
        """The stored object as this version shows it."""
        return stored if self.from_stored is None else self.from_stored(stored)


@dataclass(slots=True)
class Registry:
    """The kinds that are served now. Definitions add and remove kinds; `revision` counts those changes."""

    revision: int = 0
    _by_path: dict[tuple[str, str, str], Kind] = field(default_factory=dict)

    def add(self, kind: Kind) -> None:
        self._by_path[kind.group, kind.version, kind.plural] = kind
        self.revision += 1

    def remove(self, kind: Kind) -> None:
        self._by_path.pop((kind.group, kind.version, kind.plural), None)
        self.revision += 1

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._by_path.get((group, version, plural))

    def find_kind(self, api_version: str, name: str) -> Kind | None:
        """The kind that an owner reference or a request's body names."""
        return next((kind for kind in self if kind.kind == name and kind.api_version == api_version), None)

    def versions(self, group: str) -> list[str]:
        """The versions of a group in the order in which clients should prefer them; none: no such group."""
        return sorted({kind.version for kind in self if kind.group == group}, key=_preference)

    def groups(self) -> list[str]:
        return list(dict.fromkeys(kind.group for kind in self))

    def of(self, group: str, version: str) -> list[Kind]:
        return sorted((k for k in self if (k.group, k.version) == (group, version)), key=lambda kind: kind.plural)

    def stored(self, resource: str) -> Kind | None:
        """The kind in whose form the objects of a resource are stored."""
        found = [kind for kind in self if kind.resource == resource]
        return next((kind for kind in found if kind.from_stored is None), found[0] if found else None)

    def resources(self) -> list[str]:
        """Every resource of the store, in the order in which its kinds were added."""
        return list(dict.fromkeys(kind.resource for kind in self if "list" in kind.verbs))

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_path.values())


Clock = Callable[[], datetime]


def _preference(version: str) -> tuple[int, int, int, str]:
    """Kubernetes' order: v2, v1, v1beta2, v1beta1, v1alpha1, then anything else by name."""
    for rank, stage in enumerate(("", "beta", "alpha")):
        head, separator, tail = version[1:].partition(stage) if stage else (version[1:], "", "")
        if version.startswith("v") and head.isdigit() and (not stage or (separator and tail.isdigit())):
            return rank, -int(head), -int(tail or 0), version
    return 3, 0, 0, version
