"""What a container gets from its node: a launch, made of the manifest, the API's objects and the machine."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import CONFIG_MAPS, SECRETS, SERVICES, Resource
from trireme.contract.environ import TERMINATION_LOG, TERMINATION_PATH
from trireme.pocket.apiserver.quantity import parse_quantity
from trireme.pocket.kubelet import disk, environment, volumes
from trireme.pocket.kubelet.addresses import Addresses
from trireme.pocket.kubelet.disk import PodFolder
from trireme.pocket.kubelet.environment import ConfigurationError, Object, PodFacts, Sources
from trireme.pocket.kubelet.rewriting import HostName, HostNames, Paths
from trireme.pocket.kubelet.shim import Launch

_FROM_MACHINE = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
"""What the machine gives in place of an image. Nothing else is inherited: a shell's secrets do not reach pods."""
_NO_DEVICES = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
"""Pretend GPUs are counted, not there: programs must not find the machine's own behind the scheduler's back."""


@dataclass(frozen=True)
class PodContext:
    """All that is known of one pod on its node."""

    client: Client
    folder: PodFolder
    addresses: Addresses
    facts: PodFacts
    directory: Path
    """Working directory of a container that names none."""

    @property
    def pod(self) -> Object:
        return self.facts.pod

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    async def make_volumes(self) -> None:
        """Raises ConfigurationError when something it needs is not there."""
        sources = await self._sources()
        for volume in self.pod["spec"].get("volumes") or []:
            if host := volume.get("hostPath"):
                disk.host_path(Path(host["path"]), host.get("type") or "")
            elif "persistentVolumeClaim" in volume:
                disk.write_volume(self._source(volume), ())
            else:
                disk.write_volume(self.folder.volume(volume["name"]), volumes.files(volume, self.facts, sources))

    async def launch(self, container: Object, restart: int) -> Launch:
        """What to run for a container. Raises ConfigurationError."""
        variables = environment.resolve(container, self.facts, await self._sources())
        termination = self.folder.termination_log(container["name"], restart)
        path = container.get("terminationMessagePath") or TERMINATION_PATH
        paths = Paths({path: str(termination), **self._mounts(container, variables)})
        hosts = HostNames(await self._headless_services(), self.namespace)

        def local(text: str) -> str:
            return paths.rewrite(hosts.rewrite(text, self._address))

        directory = container.get("workingDir")
        memory = ((container.get("resources") or {}).get("limits") or {}).get("memory", "0")
        given = {name: local(value) for name, value in variables.items()}
        return Launch(
            argv=[local(word) for word in environment.command_line(container, variables)],
            env={**self._base(), **given, "PATH": _path(given.get("PATH")), TERMINATION_LOG: str(termination)},
            directory=local(directory) if directory else str(self.directory),
            log=str(self.folder.log(container["name"], restart)),
            memory_limit=int(parse_quantity(str(memory))),
        )

    def _base(self) -> dict[str, str]:
        machine = {name: os.environ[name] for name in _FROM_MACHINE if name in os.environ}
        hostname = self.pod["spec"].get("hostname") or self.pod["metadata"]["name"]
        return {**machine, **_NO_DEVICES, "HOSTNAME": hostname, "TMPDIR": str(self.folder.temporary)}

    def _mounts(self, container: Object, variables: Mapping[str, str]) -> dict[str, str]:
        kinds = {volume["name"]: volume for volume in self.pod["spec"].get("volumes") or []}
        mounts = {}
        for mount in container.get("volumeMounts") or []:
            volume = kinds.get(mount["name"])
            if volume is None:
                raise ConfigurationError(f"volume {mount['name']} not found")
            if mount["mountPath"].rstrip("/") == volumes.SHARED_MEMORY and "emptyDir" in volume:
                continue
            source = self._source(volume)
            inside = mount.get("subPath") or environment.expand(mount.get("subPathExpr") or "", variables)
            mounts[mount["mountPath"]] = str(disk.sub_path(source, inside) if inside else source)
        return mounts

    def _source(self, volume: Object) -> Path:
        """The local folder or file behind a volume."""
        if host := volume.get("hostPath"):
            return Path(host["path"])
        if claim := volume.get("persistentVolumeClaim"):
            return self.folder.claim(self.namespace, claim["claimName"])
        return self.folder.volume(volume["name"])

    def _address(self, name: HostName) -> str:
        return self.addresses.hold(name, self.pod["metadata"]["uid"])

    async def _headless_services(self) -> set[tuple[str, str]]:
        try:
            services, _ = await self.client.list(SERVICES)
        except ApiError as error:
            raise ConfigurationError(f"the services cannot be listed: {error}") from error
        return {
            (service["metadata"]["namespace"], service["metadata"]["name"])
            for service in services
            if service["spec"].get("clusterIP") == "None"
        }

    async def _sources(self) -> Sources:
        config_maps, secrets = environment.references(self.pod)
        return Sources(await self._found(CONFIG_MAPS, config_maps), await self._found(SECRETS, secrets))

    async def _found(self, resource: Resource, wanted: set[str]) -> dict[str, Object]:
        async def get(name: str) -> tuple[str, Object | None]:
            try:
                return name, await self.client.get(resource, self.namespace, name)
            except ApiError as error:
                if error.not_found:
                    return name, None
                raise ConfigurationError(f"{resource.kind} {name} cannot be read: {error}") from error

        pairs = await asyncio.gather(*(get(name) for name in sorted(wanted)))
        return {name: found for name, found in pairs if found is not None}


def host_name(pod: Object) -> HostName:
    """The name that DNS would give a pod; without a subdomain nobody else can spell it."""
    metadata, spec = pod["metadata"], pod["spec"]
    return HostName(metadata["namespace"], spec.get("subdomain") or "", spec.get("hostname") or metadata["name"])


def _path(given: str | None) -> str:
    """`python3` is the interpreter that runs the pocket, whatever else the search path says."""
    return os.pathsep.join([os.path.dirname(sys.executable), given or os.environ.get("PATH", os.defpath)])
