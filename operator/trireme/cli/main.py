"""The console script. A table of contents: every command lives in its own file and is imported when it is called."""

from __future__ import annotations

import importlib

import click

from trireme import __version__
from trireme.cli.errors import INTERRUPTED

COMMANDS = {
    "run": "trireme.cli.run:run",
    "up": "trireme.cli.up:up",
    "get": "trireme.cli.get:get",
    "describe": "trireme.cli.describe:describe",
    "logs": "trireme.cli.logs:logs",
    "validate": "trireme.cli.validate:validate",
    "plan": "trireme.cli.plan:plan",
    "crd": "trireme.cli.crd:crd",
    "operator": "trireme.cli.operate:operator",
}


class Lazy(click.Group):
    """Imports a command when it is asked for: `trireme validate` needs no API server, and `--help` is quick."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, context: click.Context) -> object:
        """Ctrl-C, also while a command is still being imported, is told apart from a failed job."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="trireme %(version)s")
def main() -> None:
    """Distributed deep-learning training on Kubernetes, from one YAML.

    \b
    Try a job on this machine, no cluster needed:
        trireme run manifests/examples/digits-horovod.yaml
    Keep a small cluster up and use kubectl on it:
        trireme up
    See the jobs of a cluster:
        trireme get -w
        trireme logs -f digits
    Look before you leap:
        trireme validate job.yaml
        trireme plan job.yaml

    \b
    Exit codes: 0 it worked (run: the job Succeeded); 1 the job failed or is invalid;
    2 wrong usage; 3 it could not be tried (a port taken, no cluster); 130 interrupted.
    """


if __name__ == "__main__":
    main()
