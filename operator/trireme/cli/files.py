"""Reads job files: one TrainingJob each, and whatever plain objects (ConfigMaps, Secrets) it brings along."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from trireme.contract import names
from trireme.spec.documents import BadDocument, load

JOB_FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path)


@dataclass(frozen=True)
class JobFile:
    job: dict[str, Any]
    others: tuple[dict[str, Any], ...]
    """Objects of other kinds, in the order of the file."""


def read(path: Path) -> JobFile:
    """`-` reads standard input. Raises BadDocument, with line numbers where YAML has them."""
    with click.open_file(str(path), encoding="utf-8") as file:
        try:
            documents = load(file.read())
        except UnicodeDecodeError as error:
            raise BadDocument(f"not a text file: {error}") from error
    jobs = [document for document in documents if document.get("kind") == names.KIND]
    if len(jobs) != 1:
        found = "no" if not jobs else str(len(jobs))
        raise BadDocument(f"expected one document of kind {names.KIND}, found {found}")
    return JobFile(jobs[0], tuple(document for document in documents if document is not jobs[0]))
