"""`trireme up`: a pocket cluster that stays, for kubectl."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from pathlib import Path

import click

from trireme.cli.errors import NotTried
from trireme.cli.signals import on_stop
from trireme.pocket.cluster import PocketCluster


@click.command()
@click.option("--gpus", type=click.IntRange(0, 1024), default=0, show_default=True, help="Pretend GPUs of the node.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Of the API server; 0: any.")
@click.option(
    "--kubeconfig",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("trireme.kubeconfig"),
    show_default=True,
    help="Where to write the kubeconfig; removed at the end.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log every decision of the operator.")
def up(gpus: int, port: int, kubeconfig: Path, verbose: bool) -> None:
    """Keep a pocket cluster up for kubectl, with the operator running on it.

    \b
    In another terminal:
        export KUBECONFIG=$PWD/trireme.kubeconfig
        kubectl apply -f manifests/examples/digits-horovod.yaml
        kubectl get tj -w

    Everything is in memory and local: pods are processes of this machine, GPUs are pretend but
    counted. Ctrl-C stops all of it and leaves nothing behind.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        asyncio.run(_up(gpus, port, kubeconfig.absolute()))
    except OSError as error:
        raise NotTried(f"the pocket cluster could not start: {error}") from error


async def _up(gpus: int, port: int, kubeconfig: Path) -> None:
    stop = asyncio.Event()
    on_stop(stop.set)
    with tempfile.TemporaryDirectory(prefix="trireme-") as folder:
        async with PocketCluster(Path(folder), gpus=gpus, port=port) as cluster:
            _write_new(kubeconfig, cluster.kubeconfig_path.read_text())
            try:
                click.echo(f"the pocket cluster is up with {gpus} pretend GPUs; in another terminal:\n")
                click.echo(f"    export KUBECONFIG={kubeconfig}")
                click.echo("    kubectl get trainingjobs --watch\n\nCtrl-C stops it.")
                await stop.wait()
            finally:
                kubeconfig.unlink(missing_ok=True)  # noqa: ASYNC240  (a moment, at the end)
    click.echo("the pocket cluster is down")


def _write_new(path: Path, text: str) -> None:
    """For the user's eyes only. Raises FileExistsError."""
    try:
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
    except FileExistsError:
        raise FileExistsError(
            f"{path} exists: another pocket cluster may use it; remove it or name another --kubeconfig"
        ) from None
