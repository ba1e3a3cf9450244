"""Which pods of a finished job go (`spec.cleanup.pods`)."""

from __future__ import annotations

from trireme.lifecycle.observe import Observed
from trireme.lifecycle.pod import Pod
from trireme.spec.model import PodCleanup


def leftovers(observed: Observed, cleanup: PodCleanup) -> tuple[Pod, ...]:
    """Pods to delete; those that are being deleted already are not named again."""
    if cleanup is PodCleanup.NONE:
        return ()
    going = observed.active
    if cleanup is PodCleanup.ALL:
        going += observed.succeeded + observed.failed
    return tuple(pod for pod in going if not pod.deleting)
