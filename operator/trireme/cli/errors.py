"""Exit codes of the command line, and the errors that carry them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from trireme.spec.documents import BadDocument
from trireme.spec.errors import InvalidSpec

FAILED = 1
NOT_TRIED = 3
INTERRUPTED = 130


class JobFailed(click.ClickException):
    """The job failed, or is invalid."""

    exit_code = FAILED

    def show(self, file: object = None) -> None:
        click.echo(self.message, err=True)


class NotTried(click.ClickException):
    """Nothing was started: the surroundings do not allow it."""

    exit_code = NOT_TRIED


@contextmanager
def invalid_is_failed(path: Path | str) -> Iterator[None]:
    """Turns what is wrong with a file into one line a problem, each with the file's name."""
    try:
        yield
    except InvalidSpec as error:
        raise JobFailed("\n".join(f"{path}: {problem}" for problem in error.errors)) from error
    except BadDocument as error:
        raise JobFailed(f"{path}: {error}") from error
