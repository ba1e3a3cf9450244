"""What can go wrong, as users see it, and why a server refuses a request."""

from __future__ import annotations

from enum import IntEnum


class ParameterServerError(RuntimeError):
    """Something the caller must know of; the text says what, where and what to do."""


class BadFrame(ParameterServerError):
    """Bytes that are not this protocol: wrong magic, version, checksum or length, or an end in the middle."""


class Unauthenticated(ParameterServerError):
    """The other end did not prove that it has the job's token."""


class Lost(ParameterServerError):
    """The connection ended or the peer said nothing for too long; whoever asked may ask again elsewhere."""


class Reason(IntEnum):
    """Why a request was refused. The user hears of those that asking again does not mend."""

    WRONG_VIEW = 1
    """The server has another view; its number comes along."""
    NOT_READY = 2
    """The range is being moved, or what was pushed must be pushed again."""
    GAP = 3
    """A push came before its predecessor; the number of the last one that counts comes along."""
    RETIRED = 4
    """A successor of this worker has connected."""
    UNKNOWN_TABLE = 5
    MISMATCH = 6
    """The table was registered with other properties."""
    NOT_FINITE = 7
    MALFORMED = 8
    FAILED = 9
    """The update function or the disk failed on the server."""
    UNKNOWN_KEYS = 10
    """The server does not remember the keys that the message left out: it must come with them."""


MOVING = "the range is being moved"
EMPTY = (
    "the range has no values: no worker has brought them yet, or they were lost with a server that had neither "
    "a backup (spec.parameterServer.backups) nor a checkpoint (spec.checkpoint.directory)"
)


class Refused(ParameterServerError):
    def __init__(self, reason: Reason, text: str, number: int = 0) -> None:
        super().__init__(text)
        self.reason = reason
        self.number = number
