"""`trireme crd`: the CustomResourceDefinition, as YAML for kubectl."""

from __future__ import annotations

import click

from trireme.cli.output import emit


@click.command()
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def crd(output: str) -> None:
    """Print the CustomResourceDefinition of TrainingJob.

    \b
    Install it:
        trireme crd | kubectl apply -f -
    """
    from trireme.spec.crd import crd as definition

    emit(definition(), output)
