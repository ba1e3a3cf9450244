"""Network namespaces within one process: each is a thread's, and of everything that the thread makes.

What two pods have: addresses of their own, a link between them, and no abstract AF_UNIX socket in common.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

CLONE_NEWNET = 0x40000000
T = TypeVar("T")


class NoNamespaces(Exception):
    """This machine, or this user, has none to give; the text says why."""


class Namespace:
    def __init__(self, address: str) -> None:
        self.address = address
        self._thread = ThreadPoolExecutor(1)
        self.run(_unshare)

    def run(self, call: Callable[[], T]) -> T:
        """In the namespace; sockets, threads and processes that it makes belong there."""
        return self._thread.submit(call).result()

    def close(self) -> None:
        self._thread.shutdown()

    def up(self, interface: str) -> None:
        for command in (f"link set {interface} up", f"addr add {self.address}/24 dev {interface}", "link set lo up"):
            self.run(lambda command=command: _ip(command))


@contextmanager
def pods(*addresses: str) -> Iterator[list[Namespace]]:
    """Two namespaces with these addresses, of one network of 256, and a link between them. Raises NoNamespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise NoNamespaces("it takes root, and `ip` (Debian: iproute2)")
    made = [Namespace(address) for address in addresses]
    try:
        first, second = made
        thread = second.run(threading.get_native_id)
        first.run(lambda: _ip(f"link add pod0 type veth peer name pod1 netns {thread}"))
        first.up("pod0")
        second.up("pod1")
        yield made
    finally:
        for each in made:
            each.close()


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise NoNamespaces(f"unshare: {os.strerror(ctypes.get_errno())}")


def _ip(command: str) -> None:
    done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoNamespaces(f"ip {command}: {done.stderr.strip()}")
