"""`trireme operator`: what the image and the chart start; against a kubeconfig it runs on a laptop just the same."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from trireme.cli.errors import NotTried
from trireme.controller.settings import Settings


@click.command()
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Default: KUBECONFIG, ~/.kube/config, in-cluster.")
@click.option("--context", help="Context of the kubeconfig. Default: its current one.")
@click.option("-n", "--namespace", "namespaces", multiple=True, help="Watch this namespace only; may be repeated.")
@click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The operator's key, from which the jobs' tokens are made; created when it does not exist.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Jobs reconciled at the same time.")
@click.option("--probe-port", type=click.IntRange(1, 65535), help="Serve /healthz on this port.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve /metrics on this port.")
@click.option(
    "--metrics-address", default=Settings.metrics_address, show_default=True, help="Where; in a pod, 0.0.0.0."
)
@click.option(
    "--leader-elect/--no-leader-elect",
    default=Settings.leader_elect,
    help="Write only while a lease is ours, so that several operators can stand by. Default: alone.",
)
@click.option("--lease-namespace", default=Settings.lease_namespace, show_default=True, help="Where the lease is.")
@click.option("--lease-name", default=Settings.lease_name, show_default=True, help="The lease; replicas share one.")
@click.option(
    "--lease-seconds",
    type=click.IntRange(min=3),
    default=Settings.lease_seconds,
    show_default=True,
    help="A leader that is silent for so long is replaced.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log every request and event too.")
def operator(
    kubeconfig: Path | None,
    context: str | None,
    namespaces: tuple[str, ...],
    key_file: Path | None,
    workers: int | None,
    probe_port: int | None,
    metrics_port: int | None,
    metrics_address: str,
    leader_elect: bool,
    lease_namespace: str,
    lease_name: str,
    lease_seconds: int,
    verbose: bool,
) -> None:
    """Run the operator against a cluster until it is told to stop.

    \b
    The cluster needs the CRD first:
        trireme crd | kubectl apply -f -
        trireme operator
    """
    from trireme.controller import handlers

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    default = Settings()
    settings = Settings(
        kubeconfig=kubeconfig,
        context=context,
        namespaces=namespaces,
        key_file=key_file or default.key_file,
        workers=workers or default.workers,
        probe_port=probe_port,
        metrics_port=metrics_port,
        metrics_address=metrics_address,
        leader_elect=leader_elect,
        lease_namespace=lease_namespace,
        lease_name=lease_name,
        lease_seconds=lease_seconds,
    )
    try:
        asyncio.run(handlers.run(settings))
    except OSError as error:
        raise NotTried(str(error)) from error
