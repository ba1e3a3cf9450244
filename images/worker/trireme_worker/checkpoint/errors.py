"""What can go wrong with a checkpoint. Every rank raises the same, so that none is left waiting for the others."""

from __future__ import annotations

from trireme.contract import exits


class CheckpointError(RuntimeError):
    """The text says what, where and what to do."""


class SaveFailed(CheckpointError):
    """Nothing was saved; the checkpoints that were there before are as they were."""


class CannotResume(CheckpointError):
    """There are checkpoints and none can be used: to begin from nothing would throw work away without a word."""


class Stopped(SystemExit):
    """The process was told to stop and has saved; it ends like one that SIGTERM has ended."""

    def __init__(self) -> None:
        super().__init__(exits.TERMINATED)


class Torn(Exception):
    """A file or a manifest is not what was written, or is none of ours."""
