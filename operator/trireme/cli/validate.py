"""`trireme validate`: all problems of job files at once."""

from __future__ import annotations

from pathlib import Path

import click

from trireme.cli.errors import FAILED, JobFailed, invalid_is_failed
from trireme.cli.files import JOB_FILE, read
from trireme.spec.parse import parse


@click.command()
@click.argument("files", nargs=-1, required=True, type=JOB_FILE, metavar="FILE...")
def validate(files: tuple[Path, ...]) -> None:
    """Check job files: every problem at once, each with the path of its field.

    FILE is a YAML file with one TrainingJob; `-` reads standard input. Exits 1 when one has a problem.
    """
    failed = False
    for path in files:
        try:
            with invalid_is_failed(path):
                job = parse(read(path).job)
        except JobFailed as problem:
            problem.show()
            failed = True
        else:
            click.echo(f"{path}: TrainingJob {job.name} is valid")
    if failed:
        raise SystemExit(FAILED)
