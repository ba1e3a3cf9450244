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
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


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


def namespace(kubeconfig: Path | None, context: str | None) -> str:
    """The namespace that the context names, in a pod the pod's own, else `default`. Raises BadKubeconfig."""
    where = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or DEFAULT
    if not any(os.path.exists(os.path.expanduser(part)) for part in where.split(os.pathsep)):
        return OWN_NAMESPACE.read_text(encoding="utf-8") if OWN_NAMESPACE.exists() else "default"
    try:
        contexts, current = config.list_kube_config_contexts(where)  # type: ignore[no-untyped-call]
    except (config.ConfigException, yaml.YAMLError, TypeError, ValueError) as error:
        raise BadKubeconfig(f"{where}: {error}") from error
    chosen = next((each for each in contexts if each["name"] == context), current)
    return chosen["context"].get("namespace") or "default"
