"""What the operator counts, for Prometheus. Of its own registry, and bounded: no label ever holds the name of a job.

Whoever is measured knows nothing of Prometheus: it calls a plain function when something has happened.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trireme import __version__
from trireme.cluster.transport import Request
from trireme.contract import exits
from trireme.controller.jobs import Job
from trireme.lifecycle import conditions
from trireme.lifecycle.announce import INVALID_SPEC
from trireme.lifecycle.policies import restart
from trireme.spec.status import JobStatus

PHASES = ("Pending", "Running", "Restarting", "Suspended", "Succeeded", "Failed")
"""Always shown, so that a phase without jobs is 0 and not absent."""
OTHER = "Other"
FAILURE_REASONS = frozenset({
    *(exits.describe(code).reason for code in range(256)),
    exits.POD_SILENT, exits.POD_REPLACED, INVALID_SPEC, "PodFailed", "OOMKilled", "Evicted", *restart.NOT_STARTED,
    *restart.HOPELESS, *restart.TAKEN_AWAY, *restart.REJECTED,
})  # fmt: skip
"""Reasons that have a time series of their own; kubelets may invent others."""

LAUNCH_SECONDS = (1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400)
"""From a warm laptop to a queue for GPUs."""
QUICK_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

FIRST_POD, ALL_RUNNING, FIRST_STEP = STAGES = ("first_pod", "all_running", "first_step")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Metrics:
    """One per operator. Every method is cheap and none waits."""

    def __init__(self, *, process: bool = True) -> None:
        """`process`: CPU, memory and file descriptors of this process too."""
        self.registry = registry = CollectorRegistry(auto_describe=True)
        Gauge("trireme_build_info", "Version of the operator.", ["version"], registry=registry).labels(__version__).set(
            1
        )
        self._leader = Gauge("trireme_leader", "1 while this replica is the one that acts.", registry=registry)
        self._launch = Histogram(
            "trireme_job_launch_seconds", "From a job's submission to a stage of its launch.", ["stage"],
            buckets=LAUNCH_SECONDS, registry=registry,
        )  # fmt: skip
        self._finished = Counter("trireme_jobs_finished", "Jobs that came to their end.", ["phase"], registry=registry)
        self._failures = Counter(
            "trireme_job_failures", "Failed jobs by the reason of the first failure.", ["reason"], registry=registry
        )
        self._restarts = Counter(
            "trireme_job_restarts", "New attempts of jobs by the reason of the failure or disruption before.",
            ["reason", "counted"], registry=registry,
        )  # fmt: skip
        self._reconcile = Histogram(
            "trireme_reconcile_seconds", "Time of one reconcile.", ["outcome"], buckets=QUICK_SECONDS, registry=registry
        )
        self._queue_wait = Histogram(
            "trireme_queue_wait_seconds", "How long a job waited to be reconciled.", buckets=QUICK_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._requests = Histogram(
            "trireme_api_request_seconds", "Time to the head of the API server's answer; code 0: there was none.",
            ["verb", "resource", "code"], buckets=QUICK_SECONDS, registry=registry,
        )  # fmt: skip
        self._events = Counter(
            "trireme_watch_events", "Events of the operator's own watches.", ["resource", "type"], registry=registry
        )
        for stage in STAGES:
            self._launch.labels(stage)
        for phase in conditions.FINAL:
            self._finished.labels(phase)
        if process:
            ProcessCollector(registry=registry)

    def watch_jobs(self, jobs: Callable[[], Iterable[Job]], queued: Callable[[], int]) -> None:
        """Asked when somebody scrapes: the cache is the truth, counting along would drift from it."""
        self.registry.register(_Jobs(jobs))
        depth = Gauge("trireme_queue_depth", "Jobs that wait to be reconciled.", registry=self.registry)
        depth.set_function(queued)

    def first_pod(self, job: Job, created_at: float) -> None:
        """`created_at`: Unix time, by the API server's clock as the job's own."""
        if (job.get("status") or {}).get("suspensions"):
            return
        self._launch.labels(FIRST_POD).observe(_since_submission(job, datetime.fromtimestamp(created_at, UTC)))

    def told(self, job: Job, before: JobStatus, after: JobStatus) -> None:
        """A status was written."""
        for stage in stages(before, after):
            self._launch.labels(stage).observe(_since_submission(job, datetime.now(UTC)))
        if (again := restarted(before, after)) is not None:
            self._restarts.labels(*again).inc()
        reason = ended(before, after)
        if reason is not None:
            self._finished.labels(after.phase).inc()
            if reason:
                self._failures.labels(reason).inc()

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Around the time in which this replica acts."""
        self._leader.set(1)
        try:
            yield
        finally:
            self._leader.set(0)

    @contextmanager
    def reconciling(self) -> Iterator[Callable[[str], None]]:
        """Times the block; the block may name its outcome, which is `done` if it does not."""
        outcome = ["done"]
        began = perf_counter()
        try:
            yield outcome.append
        finally:
            self._reconcile.labels(outcome[-1]).observe(perf_counter() - began)

    def waited(self, seconds: float) -> None:
        self._queue_wait.observe(seconds)

    def answered(self, request: Request, status: int, seconds: float) -> None:
        self._requests.labels(*verb_and_resource(request), str(status)).observe(seconds)

    def heard(self, resource: str) -> Callable[[str], None]:
        """A function to call with the type of each watch event; looked up once, not at each event."""
        kinds = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR")
        counters = {kind: self._events.labels(resource, kind) for kind in kinds}
        other = self._events.labels(resource, OTHER)
        return lambda kind: counters.get(kind, other).inc()


class _Jobs(Collector):
    def __init__(self, jobs: Callable[[], Iterable[Job]]) -> None:
        self._jobs = jobs

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("trireme_jobs", "Jobs by phase.", labels=["phase"])
        for phase, count in jobs_by_phase(self._jobs()).items():
            family.add_metric([phase], count)
        yield family

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("trireme_jobs", "Jobs by phase.", labels=["phase"])


def jobs_by_phase(jobs: Iterable[Job]) -> dict[str, int]:
    """Every phase, the empty ones too; a job without a status is Pending, an unknown phase Other."""
    tally = Tally((job.get("status") or {}).get("phase") or PHASES[0] for job in jobs)
    known = {phase: tally.pop(phase, 0) for phase in PHASES}
    return {**known, OTHER: sum(tally.values())}


def stages(before: JobStatus, after: JobStatus) -> tuple[str, ...]:
    """Which stages of its launch a job reaches with this status; none for a job that is seen at its end only.

    A job that was suspended has no launch to be measured: it waited because somebody wanted it to.
    """
    if conditions.finished(after) or after.suspensions:
        return ()
    running = before.start_time is None and after.start_time is not None
    stepped = before.progress is None and after.progress is not None
    return (ALL_RUNNING,) * running + (FIRST_STEP,) * stepped


def ended(before: JobStatus, after: JobStatus) -> str | None:
    """None: it has not ended with this status. Empty: it succeeded. Else the reason of its failure."""
    if conditions.finished(before) or not conditions.finished(after):
        return None
    failed = conditions.find(after, conditions.FAILED)
    if failed is None or failed.status != "True":
        return ""
    return _bounded(failed.reason)


def restarted(before: JobStatus, after: JobStatus) -> tuple[str, str] | None:
    """Why another attempt begins with this status, and whether it counts against the limit; None: none begins."""
    if after.attempt <= before.attempt:
        return None
    reason = _bounded(after.failure.reason) if after.failure is not None else OTHER
    return reason, str(after.restarts > before.restarts).lower()


def _bounded(reason: str) -> str:
    return reason if reason in FAILURE_REASONS else OTHER


def verb_and_resource(request: Request) -> tuple[str, str]:
    """`("list", "pods")` for GET /api/v1/namespaces/a/pods; subresources are named `pods/status`."""
    parts = request.path.split("/")[3 if request.path.startswith("/api/") else 4 :]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    resource = "/".join(parts[::2])
    if request.method != "GET":
        return _VERBS.get(request.method, request.method.lower()), resource
    return ("watch" if request.query.get("watch") else "get" if len(parts) > 1 else "list"), resource


def _since_submission(job: Job, now: datetime) -> float:
    return max(0.0, (now - datetime.fromisoformat(job["metadata"]["creationTimestamp"])).total_seconds())
