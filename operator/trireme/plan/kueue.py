"""Kueue, by its plain pod groups: it gates the pods of a group until their queue has room for all of them.

Nothing of Kueue's API is called. Its webhook finds these labels and annotations on the pods (Kueue documentation, "Run
Plain Pods", "Labels and Annotations").
"""

from __future__ import annotations

from trireme.contract import names
from trireme.plan.manifests import Manifest
from trireme.spec.model import Gang, Scheduling


def queue_of(said: Scheduling) -> str | None:
    """The LocalQueue that admits the job; None without one, and when the queue is Volcano's."""
    return None if said.gang is Gang.VOLCANO else said.queue


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
