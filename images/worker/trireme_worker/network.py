"""What the agent must know of the pod's network: the interface behind an address, and a free port."""

from __future__ import annotations

import array
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_SIOCGIFCONF = 0x8912
"""netdevice(7): all IPv4 addresses, the further ones of an interface too."""
_IFREQ = struct.Struct("16s2x2x4s16x")
_ADDRESSES_MAX = 1024
_IF_INET6 = Path("/proc/net/if_inet6")


class NoInterface(ValueError):
    """No interface carries the address."""


def interface_of(address: str) -> str:
    """The interface that carries an IPv4 or IPv6 address of this pod, for gloo and NCCL. Raises NoInterface."""
    wanted = ipaddress.ip_address(address)
    if wanted.is_loopback:
        return "lo"
    for name, found in (*_ipv4(), *_ipv6()):
        if found == wanted:
            return name
    raise NoInterface(f"no network interface carries the pod's address {address}")


def reserve_port() -> socket.socket:
    """A bound socket on a free port of all addresses; the port is kept as long as the socket is open."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    holder.bind(("", 0))
    return holder


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not host:port")
    return host.strip("[]"), int(port)


def _ipv4() -> Iterator[tuple[str, ipaddress.IPv4Address]]:
    buffer = array.array("B", bytes(_IFREQ.size * _ADDRESSES_MAX))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("iL", len(buffer), buffer.buffer_info()[0])
        size = struct.unpack("iL", fcntl.ioctl(any_socket, _SIOCGIFCONF, request))[0]
    for name, address in _IFREQ.iter_unpack(buffer.tobytes()[:size]):
        yield name.rstrip(b"\0").decode(), ipaddress.IPv4Address(address)


def _ipv6() -> Iterator[tuple[str, ipaddress.IPv6Address]]:
    if _IF_INET6.exists():
        for line in _IF_INET6.read_text().splitlines():
            address, *_, name = line.split()
            yield name, ipaddress.IPv6Address(bytes.fromhex(address))
