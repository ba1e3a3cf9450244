"""The form in which a client wants objects: as they are, as rows of a Table, or as metadata only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from trireme.pocket.apiserver import errors
from trireme.pocket.apiserver.kinds import Clock, Kind
from trireme.pocket.apiserver.selection import Listing
from trireme.pocket.apiserver.store import Record, Seen
from trireme.pocket.objects import printers, table
from trireme.pocket.objects.table import Include, Layout

Object = dict[str, Any]

_encode: Final = msgspec.json.Encoder().encode
_ACCEPTABLE: Final = ("application/json", "application/*", "*/*", "")
_INITIAL_EVENTS_END: Final = {"k8s.io/initial-events-end": "true"}


class Form(Enum):
    """What the client asked for by its Accept header."""

    PLAIN = ""
    TABLE = "Table"
    PARTIAL = "PartialObjectMetadata"


@dataclass(frozen=True, slots=True)
class Presenter:
    """Writes the objects of one kind for one request."""

    kind: Kind
    form: Form
    include: Include
    clock: Clock

    def one(self, record: Record) -> bytes:
        if self.form is Form.PLAIN:
            return self._plain(record)
        return _encode(self._transformed(record, header=True))

    def many(self, listing: Listing) -> bytes:
        metadata: Object = {"resourceVersion": str(listing.page.version)}
        if listing.next:
            metadata["continue"] = listing.next
        if listing.remaining is not None:
            metadata["remainingItemCount"] = listing.remaining
        records = listing.page.records
        if self.form is Form.TABLE:
            return _encode(self._table(records, metadata))
        if self.form is Form.PARTIAL:
            head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
            return _encode({**head, "items": [table.partial(record.value) for record in records]})
        head = {"kind": f"{self.kind.kind}List", "apiVersion": self.kind.api_version, "metadata": metadata}
        return _encode(head)[:-1] + b',"items":[' + b",".join(map(self._plain, records)) + b"]}"

    def event(self, seen: Seen, *, header: bool = False) -> bytes:
        """One line of a watch. `header`: a Table's first row brings the columns."""
        shown = (
            self._plain(seen.record)
            if self.form is Form.PLAIN
            else _encode(self._transformed(seen.record, header=header))
        )
        return b'{"type":"%s","object":%s}\n' % (seen.change.encode(), shown)

    def bookmark(self, version: int, *, initial_events_end: bool = False) -> bytes:
        metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial_events_end:
            metadata["annotations"] = _INITIAL_EVENTS_END
        shown: Object = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}
        if self.form is Form.TABLE:
            shown = {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": str(version)},
                "columnDefinitions": None,
                "rows": [{"cells": [], "object": table.partial(shown)}],
            }
        elif self.form is Form.PARTIAL:
            shown = table.partial(shown)
        return _encode({"type": "BOOKMARK", "object": shown}) + b"\n"

    def _plain(self, record: Record) -> bytes:
        return record.encoded(self.kind.api_version, self.kind.from_stored)

    def _transformed(self, record: Record, *, header: bool) -> Object:
        if self.form is Form.PARTIAL:
            return table.partial(record.value)
        metadata = {"resourceVersion": str(record.version)}
        return self._table([record], metadata, header=header)

    def _table(self, records: list[Record], metadata: Object, *, header: bool = True) -> Object:
        shown = [self.kind.shown(each.value) if self.include == "Object" else each.value for each in records]
        return table.table(
            layout_of(self.kind), shown, self.clock(), include=self.include, header=header, metadata=metadata
        )


def presenter(kind: Kind, accept: str, query: Mapping[str, str], clock: Clock) -> Presenter:
    """The presenter of a request. Raises ApiError (406) when the client accepts nothing that the server writes."""
    include = query.get("includeObject") or "Metadata"
    if include not in ("None", "Metadata", "Object"):
        raise errors.bad_request(f'includeObject must be "None", "Metadata" or "Object", not {include!r}')
    return Presenter(kind, _form(accept), cast(Include, include), clock)


@lru_cache(maxsize=256)
def layout_of(kind: Kind) -> Layout:
    return table.custom(kind.columns) if kind.custom else printers.layout(kind.kind)


@lru_cache(maxsize=256)
def _form(accept: str) -> Form:
    """The first media range of the Accept header that the server can write."""
    for media_range in accept.split(","):
        media, *parameters = (part.strip() for part in media_range.split(";"))
        asked = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        if media not in _ACCEPTABLE or asked.get("v", "v1") != "v1":
            continue
        if "as" not in asked:
            return Form.PLAIN
        if asked["as"].removesuffix("List") in ("Table", "PartialObjectMetadata"):
            return Form(asked["as"].removesuffix("List"))
    raise errors.ApiError(406, "NotAcceptable", "only the following media types are accepted: application/json")
