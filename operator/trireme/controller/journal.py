"""What became of a job, passed on to those who count and to those who announce. Neither ever holds up a reconcile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trireme.cluster.events import Recorder
from trireme.controller.jobs import Job
from trireme.controller.metrics import Metrics
from trireme.lifecycle.announce import announcements
from trireme.lifecycle.pod import Pod
from trireme.spec.status import JobStatus


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
