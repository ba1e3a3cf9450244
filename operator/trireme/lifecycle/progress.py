"""Progress for status: from the coordinator while the job runs, from worker 0's last word when it has ended.

Both are words of the user's pod: what the CRD does not take must not get into the status, or it is never written.
"""

from __future__ import annotations

from itertools import islice

from trireme.contract import names, wire
from trireme.lifecycle.observe import Observed
from trireme.spec.status import Progress

ETA_MAX = 100 * 365 * 24 * 3600
"""Seconds; of a longer time nothing is said."""


def progress(observed: Observed, previous: Progress | None) -> Progress | None:
    for pod in observed.succeeded + observed.failed:
        if pod.role == names.ROLE_WORKER and pod.index == 0 and pod.terminated is not None:
            said = wire.read_termination(pod.terminated.message)
            if said is not None and said.progress is not None:
                return _shown(said.progress, None, previous)
    if observed.report is not None and observed.report.progress is not None:
        return _shown(observed.report.progress, observed.report.steps_per_second, previous)
    return previous


def _shown(said: wire.Progress, steps_per_second: float | None, previous: Progress | None) -> Progress:
    percent = eta = None
    saved = said.last_checkpoint_step
    if saved is None and previous is not None:  # processes that have just begun again have not said it yet
        saved = previous.last_checkpoint_step
    if said.total_steps:
        percent = max(0, min(100, 100 * said.step // said.total_steps))
        if steps_per_second and (left := max(0.0, (said.total_steps - said.step) / steps_per_second)) < ETA_MAX:
            eta = round(left)
    metrics = dict(islice(said.metrics.items(), wire.METRICS_MAX))
    return Progress(
        step=said.step,
        total_steps=said.total_steps,
        percent=percent,
        eta_seconds=eta,
        metrics=metrics,
        last_checkpoint_step=saved,
    )
