"""What servers and workers are told by their environment. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from trireme.contract import environ

from trireme_worker.comm.ps.agent import AgentDirectory
from trireme_worker.comm.ps.consistency import Consistency, Mode
from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.server import Settings
from trireme_worker.comm.ps.worker import Worker

PATIENCE = "TRIREME_PS_PATIENCE_SECONDS"
"""How long a worker's request may find no server before it fails."""
CHECKPOINT_SECONDS = "TRIREME_PS_CHECKPOINT_SECONDS"
"""Between two checkpoints that a server writes by itself."""


def worker(variables: Mapping[str, str] = os.environ) -> Worker:
    """Raises ParameterServerError, naming the variable that is missing."""
    return Worker(
        rank=_number(variables, "RANK"),
        size=_number(variables, "WORLD_SIZE"),
        token=_token(variables),
        backups=_number(variables, environ.PS_BACKUPS, 0),
        generation=_number(variables, environ.GENERATION, 0),
        patience_seconds=_number(variables, PATIENCE, int(Worker.patience_seconds)),
    )


def server(variables: Mapping[str, str] = os.environ) -> Settings:
    """Raises ParameterServerError."""
    folder = variables.get(environ.CHECKPOINT_DIRECTORY, "")
    return Settings(
        index=_number(variables, environ.SERVER_INDEX),
        token=_token(variables),
        address=_text(variables, environ.POD_IP),
        rule=_rule(variables),
        backups=_number(variables, environ.PS_BACKUPS, 0),
        checkpoints=Path(folder) if folder else None,
        job=environ.job_of(variables),
        checkpoint_seconds=_number(variables, CHECKPOINT_SECONDS, int(Settings.checkpoint_seconds)),
    )


def directory(variables: Mapping[str, str] = os.environ) -> AgentDirectory:
    """Raises ParameterServerError."""
    return AgentDirectory(_text(variables, environ.AGENT_URL), _text(variables, environ.AGENT_KEY))


def _rule(variables: Mapping[str, str]) -> Consistency:
    text = variables.get(environ.PS_CONSISTENCY) or Mode.SYNC.value
    try:
        mode = Mode(text)
    except ValueError:
        raise ParameterServerError(f"{environ.PS_CONSISTENCY} is Sync, Bounded or Async, got {text!r:.100}") from None
    staleness = _number(variables, environ.PS_STALENESS, 0)
    return Consistency(mode, staleness if mode is Mode.BOUNDED else 0)


def _token(variables: Mapping[str, str]) -> bytes:
    path = _text(variables, environ.TOKEN_FILE)
    try:
        return Path(path).read_bytes().strip()
    except OSError as error:
        raise ParameterServerError(f"the job's token cannot be read: {error}") from error


def _text(variables: Mapping[str, str], key: str) -> str:
    if not variables.get(key):
        raise ParameterServerError(
            f"{key} is not set: this runs in a TrainingJob with strategy: ParameterServer (try `trireme run JOB.yaml`)"
        )
    return variables[key]


def _number(variables: Mapping[str, str], key: str, default: int | None = None) -> int:
    if default is not None and not variables.get(key):
        return default
    text = _text(variables, key)
    if not text.isdecimal():
        raise ParameterServerError(f"{key} is a whole number, got {text!r:.100}")
    return int(text)
