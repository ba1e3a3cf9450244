"""The operator's key: the secret from which every job's token is made (contract.wire.token)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

BYTES = 32


class BadKey(OSError):
    """The key cannot be used; the text says which file and why."""


def load(path: Path) -> bytes:
    """Reads the key, or makes one that only we can read. Raises BadKey."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return _create(path)
    except OSError as error:
        raise BadKey(f"the operator's key {path} cannot be read: {error.strerror}") from error
    if len(key) < BYTES:
        raise BadKey(
            f"the operator's key {path} has {len(key)} bytes, at least {BYTES} are needed: remove it for a new one"
        )
    return key


def _create(path: Path) -> bytes:
    """Under a passing name first, so that nobody ever reads half a key; of two who create it one wins."""
    key = secrets.token_bytes(BYTES)
    passing = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
        try:
            os.link(passing, path)
        except FileExistsError:
            return load(path)
        finally:
            passing.unlink()
    except BadKey:
        raise
    except OSError as error:
        raise BadKey(f"the operator's key {path} does not exist and cannot be created: {error.strerror}") from error
    return key
