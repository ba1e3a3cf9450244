"""Kueue, by its plain pod groups: it gates the pods of a group until their queue has room for all of them.

Nothing of Kueue's API is called, it only must be there: its webhook finds these words on the pods (Kueue documentation:
Run Plain Pods; Labels and Annotations).
"""

from __future__ import annotations

from collections.abc import Set

from trireme.contract import names
from trireme.plan.manifests import Manifest
from trireme.plan.plan import ApiKind, Unavailable
from trireme.spec.model import Gang, Scheduling

KINDS = frozenset({("kueue.x-k8s.io/v1beta2", "LocalQueue"), ("kueue.x-k8s.io/v1beta1", "LocalQueue")})
"""Any of them says that Kueue is there."""


def queue_of(said: Scheduling) -> str | None:
    """The LocalQueue that admits the job; None without one, and when the queue is Volcano's."""
    return None if said.gang is Gang.VOLCANO else said.queue


def unavailable(said: Scheduling, served: Set[ApiKind]) -> Unavailable | None:
    """A queue without Kueue would hold back nobody."""
    if queue_of(said) is None or not KINDS.isdisjoint(served):
        return None
    return Unavailable("QueueUnavailable", f"queue {said.queue} needs Kueue, and the API server serves no LocalQueue")


def queued(template: Manifest, queue: str, group: str, size: int) -> Manifest:
    """The template with pods that wait in `queue`, as one group of `size`."""
    metadata = template["metadata"]
    labels = {names.KUEUE_QUEUE: queue, names.KUEUE_GROUP: group}
    annotations = {
        names.KUEUE_GROUP_SIZE: str(size),
        # The group ends with its pods; else Kueue's finalizer would keep them, waiting for replacements.
        names.KUEUE_RETRIABLE: "false",
        names.KUEUE_INDEX_LABEL: names.LABEL_INDEX,
    }
    return {
        **template,
        "metadata": {
            **metadata,
            "labels": {**metadata["labels"], **labels},
            "annotations": {**metadata["annotations"], **annotations},
        },
    }
