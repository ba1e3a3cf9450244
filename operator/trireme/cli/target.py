"""Which cluster and namespace a command means, and what it says when the cluster cannot be used."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from trireme.cli.errors import INTERRUPTED, JobFailed, NotTried
from trireme.cluster import kubeconfig as kubeconfigs
from trireme.cluster.client import Client, Object
from trireme.cluster.errors import ApiError, BadKubeconfig
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.contract import names

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    kubeconfig: Path | None
    context: str | None
    namespace: str

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with await Client.connect(self.kubeconfig, self.context) as client:
            yield client


def target_options(command: F) -> F:
    """Adds --kubeconfig, --context and --namespace; the command gets them as `kubeconfig`, `context`, `namespace`."""
    for option in (
        click.option("-n", "--namespace", help="Default: the one that the context names."),
        click.option("--context", help="Context of the kubeconfig. Default: its current one."),
        click.option(
            "--kubeconfig", type=click.Path(path_type=Path), help="Default: KUBECONFIG, ~/.kube/config, in-cluster."
        ),
    ):
        command = option(command)
    return command


def target(kubeconfig: Path | None, context: str | None, namespace: str | None) -> Target:
    """Raises NotTried."""
    try:
        return Target(kubeconfig, context, namespace or kubeconfigs.namespace(kubeconfig, context))
    except BadKubeconfig as error:
        raise NotTried(str(error)) from error


def on_cluster(work: Coroutine[Any, Any, T]) -> T:
    """Runs it; what the API server refuses becomes an exit code and one line."""
    logging.basicConfig(level=logging.WARNING, format="trireme: %(message)s")
    try:
        return asyncio.run(work)
    except BrokenPipeError:  # `trireme logs | head`: the reader has enough, and the rest must go somewhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except ApiError as error:
        hint = "; is the CRD there? trireme crd | kubectl apply -f -" if error.not_found else ""
        raise NotTried(f"{error}{hint}") from error
    except BadKubeconfig as error:
        raise NotTried(str(error)) from error


async def find_job(client: Client, namespace: str, name: str) -> Object:
    """Raises JobFailed when there is no such job. (Asked as a list: a 404 then means that the CRD is missing.)"""
    found, _ = await client.list(TRAINING_JOBS, namespace, field_selector=f"metadata.name={name}")
    if not found:
        raise JobFailed(f"there is no TrainingJob {name} in namespace {namespace}; trireme get -A lists all")
    return found[0]


async def pods_of(client: Client, namespace: str, name: str) -> list[Object]:
    found, _ = await client.list(PODS, namespace, label_selector=pod_selector(name))
    return found


def pod_selector(job: str) -> str:
    return f"{names.LABEL_JOB}={job}"
