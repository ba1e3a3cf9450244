"""Processes under measurement: CPU and memory by /proc, requests by the operator's own /metrics."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE = re.compile(r"^(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Process:
    pid: int
    metrics_port: int = 0

    def cpu(self) -> float:
        """Seconds so far, of all threads, in user and system mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss(self) -> int:
        """Bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def requests(self) -> Counter[str]:
        """Answers so far by `verb resource`."""
        return await self._tally("trireme_api_request_seconds_count", "{verb} {resource}")

    async def events(self) -> Counter[str]:
        """Watch events so far by `resource`."""
        return await self._tally("trireme_watch_events_total", "{resource}")

    async def reconciles(self) -> int:
        """Looks at a job so far."""
        return (await self._tally("trireme_reconcile_seconds_count", "all"))["all"]

    async def _tally(self, name: str, by: str) -> Counter[str]:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            text = await response.text()
        tally: Counter[str] = Counter()
        for sample in _SAMPLE.finditer(text):
            if sample["name"] == name:
                labels = dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"]))
                tally[by.format(**labels)] += int(float(sample["value"]))
        return tally


@dataclass(frozen=True)
class Raw:
    """The raw client's process."""

    process: asyncio.subprocess.Process

    async def prepare(self, namespace: str, jobs: int, workers: int) -> None:
        await self._say(f"{namespace} {jobs} {workers}", b"ready\n")

    async def go(self) -> None:
        """Returns when the last pod is created."""
        await self._say("go", b"done\n")

    async def _say(self, line: str, answer: bytes) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n".encode())
        heard = await self.process.stdout.readline()
        if heard != answer:
            raise RuntimeError(f"the raw client said {heard!r}")


@asynccontextmanager
async def raw_client(kubeconfig: Path) -> AsyncIterator[Raw]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'benchmarks'}"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("raw_client.py")), str(kubeconfig),
        env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Raw(process)
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def operator(kubeconfig: Path, folder: Path, namespaces: tuple[str, ...] = ()) -> AsyncIterator[Process]:
    """`trireme operator`, once it is up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = [part for namespace in namespaces for part in ("-n", namespace)]
    command = ["-m", "trireme.cli", "operator", "--kubeconfig", str(kubeconfig), "--metrics-port", str(port), *where]
    command += ["--key-file", str(folder / "operator.key")]
    async with _python(command, folder / "operator.log") as pid:
        process = Process(pid, port)
        while "operator up" not in (folder / "operator.log").read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await asyncio.sleep(3.0)  # kopf's watch, of which nothing is said
        yield process


@asynccontextmanager
async def pocket(folder: Path) -> AsyncIterator[tuple[Process, Path]]:
    """The pocket's API server, and its kubeconfig."""
    kubeconfig = folder / "kubeconfig"
    command = [str(Path(__file__).with_name("pocket_server.py")), str(kubeconfig)]
    async with _python(command, folder / "pocket.log") as pid:
        while not kubeconfig.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        yield Process(pid), kubeconfig


@asynccontextmanager
async def _python(arguments: list[str], log: Path) -> AsyncIterator[int]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'images/worker'}"}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=environment, stdout=output, stderr=output
        )
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
