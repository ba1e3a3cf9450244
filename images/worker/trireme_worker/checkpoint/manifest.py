"""The manifest: which files make one checkpoint. A checkpoint is what its manifest names, whole, or it is nothing.

One line with the form and the digest of the rest, then JSON. Pure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from trireme.contract import codec

from trireme_worker.checkpoint.errors import Torn

NAME = "manifest"
MAX_BYTES = 64 * 1024 * 1024
"""Of a manifest: 400,000 files fit."""
_FORM = "trireme-checkpoint/1"


@dataclass(frozen=True)
class File:
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class Manifest:
    step: int
    """Finished steps."""
    processes: int
    """World size of the job that saved it."""
    job: str
    """namespace/name; empty when it was saved outside of a job."""
    sharded: tuple[str, ...]
    """Parts that every rank saved for itself; of the others there is one copy, in the file of rank 0."""
    files: dict[str, File]


def file_name(rank: int) -> str:
    return f"rank-{rank:05}.pt"


def encode(manifest: Manifest) -> bytes:
    body = codec.encode(manifest)
    return f"{_FORM} {digest(body)}\n".encode() + body


def decode(data: bytes) -> Manifest:
    """Raises Torn."""
    head, _, body = data.partition(b"\n")
    if head != f"{_FORM} {digest(body)}".encode():
        raise Torn(f"{NAME} is torn, or not of the form {_FORM}")
    try:
        return codec.decode(Manifest, body)
    except codec.BadMessage as error:
        raise Torn(f"{NAME}: {error}") from error


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
