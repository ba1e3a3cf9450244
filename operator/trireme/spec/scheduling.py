"""How `spec.scheduling` and the pod template go together: what the two say of one thing must be the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trireme.contract import names
from trireme.spec import words
from trireme.spec.errors import FieldError
from trireme.spec.lenient import mapping
from trireme.spec.model import Gang, JobSpec

VOLCANO_SCHEDULER = "volcano"
QUEUE_IS_A_GANG = "Kueue admits all pods at once: leave gang out"
_PATH = "spec.scheduling"
_POD = "spec.worker.template.spec"
_RESERVED = {
    "labels": (names.KUEUE_QUEUE, names.KUEUE_GROUP, names.COSCHEDULING_GROUP),
    "annotations": (names.KUEUE_GROUP_SIZE, names.KUEUE_RETRIABLE, names.KUEUE_INDEX_LABEL, names.VOLCANO_GROUP),
}
"""Links of a pod to its group: the operator makes the group, so it makes the links."""


def check(spec: JobSpec) -> Iterator[FieldError]:
    said, template = spec.scheduling, spec.worker.template
    pod = mapping(template, "spec")
    priority, scheduler = pod.get("priorityClassName"), pod.get("schedulerName")
    if said.queue and said.gang in (Gang.NATIVE, Gang.COSCHEDULING):
        yield FieldError(f"{_PATH}.queue", f"{QUEUE_IS_A_GANG}, and not {said.gang.value}")
    if said.priority_class_name and priority and priority != said.priority_class_name:
        yield FieldError(
            f"{_PATH}.priorityClassName", f"the template says {words.describe(priority)} at {_POD}.priorityClassName"
        )
    if said.gang is Gang.VOLCANO and scheduler not in (None, "", VOLCANO_SCHEDULER):
        yield FieldError(f"{_POD}.schedulerName", f"must be {VOLCANO_SCHEDULER} or left out with gang Volcano")
    if pod.get("schedulingGroup"):
        yield FieldError(f"{_POD}.schedulingGroup", f"cannot be set: use {_PATH}.gang")
    yield from _links(template, "spec.worker.template")
    if spec.server.template is not None:
        yield from _links(spec.server.template, "spec.server.template")


def _links(template: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for key, links in _RESERVED.items():
        for link in links:
            if link in mapping(mapping(template, "metadata"), key):
                field = "queue" if link == names.KUEUE_QUEUE else "gang"
                yield FieldError(f"{path}.metadata.{key}[{link}]", f"cannot be set: use {_PATH}.{field}")
