"""Which pods of a finished job go (`spec.cleanup.pods`)."""

from __future__ import annotations

from trireme.lifecycle.observe import Observed
from trireme.lifecycle.pod import Pod, PodPhase
from trireme.spec.model import PodCleanup


def leftovers(observed: Observed, cleanup: PodCleanup) -> tuple[Pod, ...]:
    """Pods to delete; those that are being deleted already are not named again."""
    if cleanup is PodCleanup.NONE:
        return ()
    ended = observed.succeeded + observed.failed
    if cleanup is PodCleanup.RUNNING:  # the trainer has ended, a sidecar may not have
        ended = tuple(pod for pod in ended if pod.phase not in (PodPhase.SUCCEEDED, PodPhase.FAILED))
    return tuple(pod for pod in observed.active + ended if not pod.deleting)
