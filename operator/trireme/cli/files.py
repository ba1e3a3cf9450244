"""Reads job files: one TrainingJob each, and whatever plain objects (ConfigMaps, Secrets) it brings along."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from trireme.contract import names
from trireme.spec.documents import TEXT_MAX, BadDocument, load

JOB_FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path)


@dataclass(frozen=True)
class JobFile:
    job: dict[str, Any]
    others: tuple[dict[str, Any], ...]
    """Objects of other kinds, in the order of the file."""


def read(path: Path) -> JobFile:
    """`-` reads standard input. Raises BadDocument, with line numbers where YAML has them."""
    documents = load(_text(path))
    jobs = [document for document in documents if document.get("kind") == names.KIND]
    if len(jobs) != 1:
        found = "no" if not jobs else str(len(jobs))
        raise BadDocument(f"expected one document of kind {names.KIND}, found {found}")
    return JobFile(jobs[0], tuple(document for document in documents if document is not jobs[0]))


def _text(path: Path) -> str:
    """Of an endless file no more than it takes to refuse it."""
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            return str(file.read(TEXT_MAX + 1))
    except UnicodeDecodeError as error:
        raise BadDocument(f"not a text file: {error}") from error
    except OSError as error:
        raise BadDocument(f"cannot be read: {error}") from error
