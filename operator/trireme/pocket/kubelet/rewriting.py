"""Stands in for what a container has and a local process lacks: mounts and cluster DNS. Pure functions on strings.

A process of the pocket sees the machine's file system and its resolver. So wherever a command, an argument or a
variable names a path below a mount, the path of the volume's local folder is put in its place; wherever one names the
host of a pod, the loopback address that the kubelet holds for that pod is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_BEFORE = r"(?<![\w./~-])"
_AFTER = r"(?![\w.-])"
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"


@dataclass(frozen=True, order=True)
class HostName:
    """The name that DNS gives a pod: `hostname.subdomain.namespace.svc.<cluster domain>`."""

    namespace: str
    subdomain: str
    hostname: str


class Paths:
    """Mount path -> local path, the deepest mount first."""

    def __init__(self, mounts: Mapping[str, str]) -> None:
        self._local = {path.rstrip("/"): local for path, local in mounts.items()}
        deepest_first = sorted(self._local, key=len, reverse=True)
        self._pattern = re.compile(_BEFORE + "(" + "|".join(map(re.escape, deepest_first)) + ")" + _AFTER)

    def rewrite(self, text: str) -> str:
        """Paths at or below a mount, wherever they stand: `a=/data/x:/data`, but neither `/database` nor `./data`."""
        if not self._local:
            return text
        return self._pattern.sub(lambda match: self._local[match[1]], text)


class HostNames:
    """Names of pods behind the given headless Services (namespace, name), as a pod of `namespace` may write them."""

    def __init__(self, services: set[tuple[str, str]], namespace: str, cluster_domain: str = "cluster.local") -> None:
        domain = re.escape(cluster_domain)
        arms: list[str] = []
        for space, service in sorted(services):
            tail = rf"\.{re.escape(space)}(?:\.svc(?:\.{domain})?)?"
            optional = "?" if space == namespace else ""
            arms.append(rf"(?P<h{len(arms)}>{_LABEL})\.{re.escape(service)}(?:{tail}){optional}")
        self._services = sorted(services)
        self._pattern = re.compile(r"(?<![\w.-])(?:" + "|".join(arms) + r")(?![\w-]|\.\w)")

    def rewrite(self, text: str, address: Callable[[HostName], str]) -> str:
        """Each name gives way to `address(name)`."""
        if not self._services:
            return text

        def replaced(match: re.Match[str]) -> str:
            for number, (namespace, service) in enumerate(self._services):
                if hostname := match[f"h{number}"]:
                    return address(HostName(namespace, service, hostname))
            raise AssertionError("one arm matches")

        return self._pattern.sub(replaced, text)
