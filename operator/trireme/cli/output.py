"""Objects for machines: JSON and YAML on standard output."""

from __future__ import annotations

import json
from typing import Any

import click
import yaml


def emit(value: Any, form: str) -> None:
    """`form` is `json` or `yaml`."""
    if form == "json":
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120), nl=False)
