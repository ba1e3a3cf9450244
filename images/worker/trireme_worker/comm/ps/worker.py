"""Who a client is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Worker:
    rank: int
    size: int
    token: bytes
    backups: int = 0
    generation: int = 0
    patience_seconds: float = 300.0
    """How long a request may find no server before it fails."""
    assembly_seconds: float = 60.0
    """How long to wait, at the start, for the desired number of servers."""
