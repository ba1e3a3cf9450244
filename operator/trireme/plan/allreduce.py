"""The AllReduce strategy: equal workers, and the backend's tuning as its own environment variables."""

from __future__ import annotations

from trireme.contract import environ
from trireme.plan.layout import workers
from trireme.plan.plan import Layout
from trireme.spec.model import AllReduce, Backend, TrainingJob

HOROVOD_TIMEOUT_SECONDS = 600
"""Horovod's own 30 s also cover collectives: one evaluation or checkpoint on rank 0 would end the job."""


def layout(job: TrainingJob) -> Layout:
    elastic = ((environ.HOROVOD_ELASTIC, "1"),) if _in_process(job) else ()
    return Layout(workers(job), (*_tuning(job.spec.all_reduce), *elastic))


def _in_process(job: TrainingJob) -> bool:
    """Whether processes may go on when the membership changes."""
    return job.spec.elastic is not None and job.spec.all_reduce.backend is Backend.HOROVOD


def _tuning(tuning: AllReduce) -> tuple[tuple[str, str], ...]:
    if tuning.backend is not Backend.HOROVOD:
        return ()
    variables = (
        (environ.HOROVOD_GLOO_TIMEOUT, tuning.timeout_seconds or HOROVOD_TIMEOUT_SECONDS),
        (environ.HOROVOD_FUSION_THRESHOLD, tuning.fusion_threshold_bytes),
        (environ.HOROVOD_CYCLE_TIME, tuning.cycle_time_milliseconds),
        (environ.HOROVOD_TIMELINE, tuning.timeline_file),
    )
    return tuple((name, str(value)) for name, value in variables if value is not None)
