"""Loopback addresses: a pod has one of its own, so that pods may listen on the same port.

A cluster takes a block 127.N.0.0/16 for itself; the claim is an abstract Unix socket, which lives in the same network
namespace as the addresses and which the kernel releases however the process ends.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from trireme.pocket.kubelet.rewriting import HostName

_BLOCKS = range(64, 250)
_PER_BLOCK = 2**16


class NoAddress(OSError):
    """Every block, or every address of the block, is taken."""


@dataclass
class Block:
    """A claimed /16; `close` gives it back."""

    base: IPv4Address
    _claim: socket.socket

    @classmethod
    def claim(cls) -> Block:
        """The first block that no other cluster on this machine holds. Raises NoAddress."""
        for number in _BLOCKS:
            base = IPv4Address(f"127.{number}.0.0")
            claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                claim.bind(f"\0trireme-pocket-{base}")
            except OSError:
                claim.close()
            else:
                return cls(base, claim)
        raise NoAddress(f"{len(_BLOCKS)} pocket clusters run on this machine already")

    def close(self) -> None:
        self._claim.close()


@dataclass
class Addresses:
    """Who holds which address of a block. A name keeps its address as long as any pod that has or mentions it lives."""

    base: IPv4Address
    _of_name: dict[HostName, IPv4Address] = field(default_factory=dict)
    _holders: dict[HostName, set[str]] = field(default_factory=dict)
    _taken: set[IPv4Address] = field(default_factory=set)
    _last: int = 0

    @property
    def node(self) -> str:
        """The node's own address: the first of the block."""
        return str(self.base + 1)

    def hold(self, name: HostName, holder: str) -> str:
        """The address of `name`, reserved now if it is new, for the pod with UID `holder`. Raises NoAddress."""
        if name not in self._of_name:
            self._of_name[name] = self._free()
        self._holders.setdefault(name, set()).add(holder)
        return str(self._of_name[name])

    def release(self, holder: str) -> None:
        """The pod is gone; names that nobody else holds lose their addresses."""
        for name in [name for name, holders in self._holders.items() if holder in holders]:
            self._holders[name].discard(holder)
            if not self._holders[name]:
                del self._holders[name]
                self._taken.discard(self._of_name.pop(name))

    def _free(self) -> IPv4Address:
        # Round robin: a released address rests as long as possible, for the sake of sockets in TIME_WAIT.
        for step in range(1, _PER_BLOCK):
            offset = (self._last + step) % _PER_BLOCK
            address = self.base + offset
            if offset % 256 not in (0, 255) and offset != 1 and address not in self._taken:
                self._last = offset
                self._taken.add(address)
                return address
        raise NoAddress(f"all addresses of {self.base}/16 are taken")
