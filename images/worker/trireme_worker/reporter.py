"""`report`: user code says how far it is. It costs microseconds, never waits and never fails for want of a network.

The latest values win: a daemon thread sends them to the pod's agent at most twice a second, and once more at exit.
Outside of a Trireme job it does nothing. It must not import the agent.
"""

from __future__ import annotations

import atexit
import logging
import math
import operator
import os
import threading
from typing import Any, SupportsFloat, SupportsIndex
from urllib.parse import urlsplit

from trireme.contract import codec, environ, wire

SEND_SECONDS = 0.5
"""Between two reports."""
TIMEOUT_SECONDS = 2.0
"""For the agent, which is in the same pod, to take one."""

_log = logging.getLogger("trireme_worker")


def report(
    step: SupportsIndex | None = None, total_steps: SupportsIndex | None = None, **metrics: SupportsFloat
) -> None:
    """Reports progress; what is left out keeps its last value.

    `step` counts finished steps, `total_steps` says how many there will be. A metric is a number, or a tensor or array
    of one element; one that is not finite is left out. Raises ValueError for a negative or fractional step, a metric
    that is not a number, a name that is too long or more than 32 metrics.
    """
    _reporter().update(_count("step", step, 0), _count("total_steps", total_steps, 1), _numbers(metrics))


def checkpointed(step: int) -> None:
    """Reports that what `step` steps have made is saved; for trireme_worker.checkpoint."""
    _reporter().checkpointed(step)


class Reporter:
    """One process's progress and the thread that sends it. `url` is empty outside of a job."""

    def __init__(self, url: str, key: str, rank: int) -> None:
        self._url = url
        self._key = key
        self._rank = rank
        self._step = 0
        self._total: int | None = None
        self._checkpoint: int | None = None
        self._metrics: dict[str, float] = {}
        self._warned: set[str] = set()
        self._changed = threading.Event()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None
        if not url:
            _log.info("not inside a Trireme job: progress goes nowhere")

    def update(self, step: int | None, total: int | None, metrics: dict[str, float]) -> None:
        """Raises ValueError when there would be too many metrics."""
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        if len(finite) < len(metrics):
            self._warn(metrics.keys() - finite.keys())
        with self._lock:
            if len(self._metrics.keys() | finite.keys()) > wire.METRICS_MAX:
                raise ValueError(f"a job reports at most {wire.METRICS_MAX} metrics")
            self._metrics.update(finite)
            self._step = self._step if step is None else step
            self._total = self._total if total is None else total
        self._send_soon()

    def checkpointed(self, step: int) -> None:
        """What is saved has been done, also where user code reports no steps."""
        with self._lock:
            self._checkpoint = step
            self._step = max(self._step, step)
        self._send_soon()

    def _send_soon(self) -> None:
        if self._url:
            self._changed.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="trireme-report", daemon=True)
                self._thread.start()
                atexit.register(self.flush)

    def flush(self) -> None:
        """Sends what has not been sent, and waits for what is under way: at exit the thread would be cut off."""
        with self._sending:
            if self._changed.is_set():
                self._changed.clear()
                self._send()

    def progress(self) -> wire.Progress:
        with self._lock:
            return wire.Progress(self._step, self._total, dict(self._metrics), self._checkpoint)

    def _run(self) -> None:
        pause = threading.Event()
        while self._changed.wait():
            self.flush()
            pause.wait(SEND_SECONDS)

    def _send(self) -> None:
        from http.client import HTTPConnection, HTTPException  # heavy, and only needed inside a job

        address = urlsplit(self._url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)
        try:
            body = codec.encode(wire.Report(self._rank, self.progress()))
            connection.request("POST", wire.REPORT_PATH, body, {"Authorization": wire.bearer(self._key)})
            connection.getresponse().read()
        except (OSError, HTTPException) as error:
            _log.debug("the agent did not take the report: %s", error)
        finally:
            connection.close()

    def _warn(self, names: set[str]) -> None:
        for name in sorted(names - self._warned):
            _log.warning("metric %s is not finite and is left out", name)
        self._warned |= names


def _count(name: str, value: SupportsIndex | None, least: int) -> int | None:
    if value is None:
        return None
    try:
        count = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r:.100}") from None
    if count < least:
        raise ValueError(f"{name} must be at least {least}, got {count}")
    if count > codec.INT_MAX:
        raise ValueError(f"{name} must be at most {codec.INT_MAX}")
    return count


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    numbers = {}
    for name, value in metrics.items():
        if not 0 < len(name) <= wire.METRIC_NAME_MAX:
            raise ValueError(f"the name of a metric has 1 to {wire.METRIC_NAME_MAX} characters, got {name!r:.100}")
        try:
            if isinstance(value, (str, bytes)):
                raise TypeError
            numbers[name] = float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise ValueError(f"metric {name} must be a number, got {value!r:.100}") from None
    return numbers


_present: Reporter | None = None


def _reporter() -> Reporter:
    global _present
    if _present is None:
        env = os.environ
        _present = Reporter(env.get(environ.AGENT_URL, ""), env.get(environ.AGENT_KEY, ""), int(env.get("RANK", 0)))
    return _present


def _forget() -> None:
    """In a forked child, whose copy has no thread and may hold a lock."""
    global _present
    _present = None


os.register_at_fork(after_in_child=_forget)
