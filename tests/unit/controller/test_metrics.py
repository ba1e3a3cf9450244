from __future__ import annotations

from datetime import UTC, datetime, timedelta
from timeit import timeit
from typing import Any

import pytest
from prometheus_client import generate_latest
from trireme.cluster.transport import Request
from trireme.controller.metrics import Metrics, ended, jobs_by_phase, stages, verb_and_resource
from trireme.lifecycle.conditions import condition
from trireme.spec.status import JobStatus, Progress

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def finished(kind: str, reason: str) -> JobStatus:
    return JobStatus(phase=kind, conditions=[condition(kind, True, reason, "", NOW, 1)], start_time=NOW)


NEW = JobStatus(phase="Pending")
RUNS = JobStatus(phase="Running", start_time=NOW)
STEPS = RUNS.model_copy(update={"progress": Progress(step=1)})


def job(age_seconds: float = 0, phase: str | None = None) -> dict[str, Any]:
    created = (datetime.now(UTC) - timedelta(seconds=age_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metadata": {"creationTimestamp": created}, "status": {"phase": phase} if phase else None}


def samples(metrics: Metrics) -> dict[str, float]:
    """All samples but the buckets, as Prometheus reads them."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#") and "_bucket" not in line)
    return {name: float(value) for name, _, value in pairs if not name.split("{")[0].endswith("_created")}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(NEW, RUNS, ("all_running",), id="runs"),
        pytest.param(RUNS, STEPS, ("first_step",), id="steps"),
        pytest.param(NEW, STEPS, ("all_running", "first_step"), id="both at once"),
        pytest.param(STEPS, STEPS, (), id="nothing new"),
        pytest.param(NEW, finished("Succeeded", "AllRanksDone"), (), id="too quick to tell"),
        pytest.param(NEW, RUNS.model_copy(update={"suspensions": 1}), (), id="resumed"),
    ],
)
def test_stages_of_a_launch(before: JobStatus, after: JobStatus, expected: tuple[str, ...]) -> None:
    assert stages(before, after) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(NEW, RUNS, None, id="runs"),
        pytest.param(RUNS, finished("Succeeded", "AllRanksDone"), "", id="succeeded"),
        pytest.param(RUNS, finished("Failed", "OOMKilled"), "OOMKilled", id="failed"),
        pytest.param(NEW, finished("Failed", "InvalidSpec"), "InvalidSpec", id="invalid"),
        pytest.param(RUNS, finished("Failed", "SomethingOfAKubelet17"), "Other", id="unheard of"),
        pytest.param(finished("Failed", "Error"), finished("Failed", "Error"), None, id="long over"),
    ],
)
def test_the_end_of_a_job(before: JobStatus, after: JobStatus, expected: str | None) -> None:
    assert ended(before, after) == expected


def test_every_phase_is_counted_also_those_nobody_is_in() -> None:
    jobs = [job(), job(phase="Running"), job(phase="Running"), job(phase="Levitating")]
    assert jobs_by_phase(jobs) == {
        "Pending": 1, "Running": 2, "Restarting": 0, "Suspended": 0, "Succeeded": 0, "Failed": 0, "Other": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "watch", "expected"),
    [
        ("GET", "/api/v1/pods", False, ("list", "pods")),
        ("GET", "/api/v1/namespaces/team/pods", True, ("watch", "pods")),
        ("GET", "/api/v1/namespaces/team/pods/a-worker-0", False, ("get", "pods")),
        ("GET", "/api/v1/namespaces/team/pods/a-worker-0/log", False, ("get", "pods/log")),
        ("POST", "/api/v1/namespaces/team/pods", False, ("create", "pods")),
        ("DELETE", "/api/v1/namespaces/team/pods/a", False, ("delete", "pods")),
        ("GET", "/apis/trireme.dev/v1alpha1/trainingjobs", False, ("list", "trainingjobs")),
        (
            "PATCH",
            "/apis/trireme.dev/v1alpha1/namespaces/team/trainingjobs/a/status",
            False,
            ("patch", "trainingjobs/status"),
        ),
        ("GET", "/api/v1/namespaces/team", False, ("get", "namespaces")),
    ],
)
def test_requests_are_told_apart_by_verb_and_resource_alone(
    method: str, path: str, watch: bool, expected: tuple[str, str]
) -> None:
    assert verb_and_resource(Request(method, path, {"watch": watch or None})) == expected


def test_what_happened_is_what_prometheus_reads() -> None:
    metrics = Metrics(process=False)
    metrics.watch_jobs(lambda: [job(phase="Failed")], lambda: 3)
    metrics.first_pod(job(), NOW.timestamp())
    metrics.first_pod({**job(), "status": {"suspensions": 1}}, NOW.timestamp())
    metrics.told(job(), NEW, RUNS)
    metrics.told(job(), RUNS, finished("Failed", "OOMKilled"))
    with metrics.reconciling():
        pass
    with metrics.reconciling() as outcome:
        outcome("retry")
    metrics.waited(0.25)
    metrics.answered(Request("POST", "/api/v1/namespaces/team/pods"), 201, 0.125)
    metrics.heard("pods")("ADDED")
    metrics.heard("pods")("NONSENSE")
    with metrics.leading():
        read = samples(metrics)
    expected = {
        'trireme_jobs{phase="Failed"}': 1,
        'trireme_jobs{phase="Pending"}': 0,
        "trireme_queue_depth": 3,
        "trireme_leader": 1,
        'trireme_job_launch_seconds_count{stage="first_pod"}': 1,
        'trireme_job_launch_seconds_count{stage="all_running"}': 1,
        'trireme_job_launch_seconds_count{stage="first_step"}': 0,
        'trireme_jobs_finished_total{phase="Failed"}': 1,
        'trireme_job_failures_total{reason="OOMKilled"}': 1,
        'trireme_reconcile_seconds_count{outcome="done"}': 1,
        'trireme_reconcile_seconds_count{outcome="retry"}': 1,
        "trireme_queue_wait_seconds_sum": 0.25,
        'trireme_api_request_seconds_sum{code="201",resource="pods",verb="create"}': 0.125,
        'trireme_watch_events_total{resource="pods",type="ADDED"}': 1,
        'trireme_watch_events_total{resource="pods",type="Other"}': 1,
    }
    assert {name: read.get(name) for name in expected} == expected


def test_two_operators_in_one_process_do_not_count_for_each_other() -> None:
    one, other = Metrics(), Metrics()
    with one.leading():
        assert (samples(one)["trireme_leader"], samples(other)["trireme_leader"]) == (1, 0)
    assert samples(one)["trireme_leader"] == 0


def test_counting_an_event_costs_next_to_nothing() -> None:
    heard = Metrics(process=False).heard("pods")
    assert min(timeit(lambda: heard("MODIFIED"), number=2000) / 2000 for _ in range(5)) < 2e-6
