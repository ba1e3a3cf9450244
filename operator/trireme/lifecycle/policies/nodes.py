"""Pods that should have gone and do not, because no kubelet is there to say that they have ended (docs/adr/0016)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from trireme.lifecycle.observe import NodeState, Observed
from trireme.lifecycle.pod import Pod

OVERDUE_SECONDS = 5.0
"""Beyond its grace period a pod is looked after: a kubelet needs a moment to say that it has ended."""
AGAIN_SECONDS = 10.0


def overdue(pods: Iterable[Pod], now: datetime) -> tuple[Pod, ...]:
    """Those whose node should be asked after."""
    return tuple(pod for pod in pods if _expected(pod) and _late(pod, now) >= OVERDUE_SECONDS)


def forced(observed: Observed, force_after: int | None, now: datetime) -> tuple[Pod, ...]:
    """Pods to delete without their kubelet's word: the node is gone, or the user said how long is enough."""
    return tuple(
        pod for pod in overdue(observed.ours, now) if _lost(observed.nodes.get(pod.node), pod, force_after, now)
    )


def look_again(observed: Observed, now: datetime) -> float | None:
    """When the next pod is overdue, or may have to be forced; None when none is expected to go."""
    late = [_late(pod, now) for pod in observed.ours if _expected(pod)]
    return min((AGAIN_SECONDS if each >= OVERDUE_SECONDS else OVERDUE_SECONDS - each for each in late), default=None)


def _lost(state: NodeState | None, pod: Pod, force_after: int | None, now: datetime) -> bool:
    if state is NodeState.GONE:
        return True
    return state is NodeState.NOT_READY and force_after is not None and _late(pod, now) >= force_after


def _expected(pod: Pod) -> bool:
    """To be gone at a known time, by the word of a node."""
    return pod.deleting and bool(pod.node) and pod.gone_by > 0


def _late(pod: Pod, now: datetime) -> float:
    return now.timestamp() - pod.gone_by
