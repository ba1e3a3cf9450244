"""What became of a job, passed on to those who count and to those who announce. Neither ever holds up a reconcile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trireme.cluster.errors import ApiError
from trireme.cluster.events import Recorder
from trireme.controller.jobs import Job
from trireme.controller.metrics import Metrics
from trireme.lifecycle.announce import WARNING, announcements
from trireme.lifecycle.pod import Pod
from trireme.spec.status import JobStatus

RECONCILE_FAILED = "ReconcileFailed"
LASTING_SECONDS = 5.0
"""Back-off beyond this tells that an error is no passing one."""


@dataclass(frozen=True)
class Journal:
    metrics: Metrics
    events: Recorder

    def told(self, job: Job, before: JobStatus, after: JobStatus) -> None:
        """A status was written."""
        self.metrics.told(job, before, after)
        for news in announcements(before, after):
            self.events.record(job, news.type, news.reason, news.note)

    def launched(self, job: Job | None, pods: Iterable[Pod]) -> None:
        """The first pods of a job were made. None: it has gone in the meantime."""
        first = min((pod.created_at for pod in pods), default=None)
        if first is not None and job is not None:
            self.metrics.first_pod(job, first)

    def failed(self, job: Job | None, error: ApiError, seconds: float) -> None:
        """A reconcile met an error, and is tried again in so many seconds; worth an Event if it will meet it again."""
        lasting = error.refused or seconds > LASTING_SECONDS
        if job is not None and error.status and lasting:
            self.events.record(job, WARNING, RECONCILE_FAILED, str(error))
