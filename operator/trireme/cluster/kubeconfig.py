"""Which cluster is meant and who we are in it: a kubeconfig, or the pod's service account, read by the library."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME

from trireme.cluster.errors import BadKubeconfig

DEFAULT = "~/.kube/config"


async def load(kubeconfig: Path | None, context: str | None) -> Configuration:
    """From `kubeconfig`, else KUBECONFIG, else ~/.kube/config, else the pod's service account. Raises BadKubeconfig."""
    where = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or DEFAULT
    configuration = Configuration()
    try:
        if any(os.path.exists(os.path.expanduser(part)) for part in where.split(os.pathsep)):  # noqa: ASYNC240
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                where, context, configuration, persist_config=False
            )
        elif kubeconfig is None and os.environ.get(SERVICE_HOST_ENV_NAME):
            where = "the pod's service account"
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        else:
            raise BadKubeconfig(f"no kubeconfig at {where}, and this is no pod of a cluster: set KUBECONFIG")
    except (config.ConfigException, yaml.YAMLError, TypeError, ValueError) as error:
        raise BadKubeconfig(f"{where}: {error}") from error
    return configuration
