"""trireme.pocket.kubelet.misfortune: ranks are found and signalled, connections between two pods break midway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from trireme.pocket.kubelet import misfortune
from trireme.pocket.kubelet.process import MARK

SERVER = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
print(connection.recv(1) or "cut", flush=True)
"""
CLIENT = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
print(connection.recv(1) or "cut", flush=True)
"""


@contextmanager
def process(pod: str, script: str, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env={"PATH": os.environ["PATH"], MARK: f"{pod}/trainer/0", **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


@pytest.fixture
def pods() -> tuple[str, str]:
    return str(uuid.uuid4()), str(uuid.uuid4())


def test_connections_between_two_pods_break_and_no_others(pods: tuple[str, str]) -> None:
    one, other = pods
    with process(one, SERVER) as server:
        assert server.stdout is not None
        with process(other, CLIENT, server.stdout.readline().strip()) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "connected\n"
            assert misfortune.cut(one, str(uuid.uuid4())) == 0
            assert misfortune.cut(one, other) == 1
            assert (server.stdout.readline(), client.stdout.readline()) == ("cut\n", "cut\n")


def test_a_rank_is_found_by_its_pod_and_its_number(pods: tuple[str, str]) -> None:
    waits = "print('up', flush=True); input()"
    with process(pods[0], waits, RANK="0") as first, process(pods[0], waits, RANK="1") as second:
        for each in (first, second):
            assert each.stdout is not None
            assert each.stdout.readline() == "up\n"
        assert sorted(misfortune.processes(pods[0])) == sorted([first.pid, second.pid])
        misfortune.signal_rank(pods[0], 1, signal.SIGKILL)
        assert second.wait() == -signal.SIGKILL
        assert first.poll() is None
        with pytest.raises(LookupError, match="rank 1 does not run in the pod"):
            misfortune.rank(pods[1], 1)
