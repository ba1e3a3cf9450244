"""The messages between a server or worker and its pod's agent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Serving:
    """Where a server listens."""

    index: int
    incarnation: str
    address: str
    port: int
    socket: str = ""
    """AF_UNIX name; empty: none."""
    view: int = 0
    """The highest view number that it has seen."""


@dataclass(frozen=True)
class View:
    """Who serves. Number 0: nobody yet."""

    number: int
    desired: int
    servers: tuple[Serving, ...]
    """In the order of their indices."""
