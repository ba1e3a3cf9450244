"""A valid TrainingJob as a user writes it, and ways to change one place of it."""

from __future__ import annotations

import copy
from typing import Any

UID = "11111111-2222-4333-8444-555555555555"

TRAINER: dict[str, Any] = {"name": "trainer", "image": "img", "command": ["python3", "train.py"]}

VALID: dict[str, Any] = {
    "apiVersion": "trireme.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "digits"},
    "spec": {"worker": {"replicas": 2, "template": {"spec": {"containers": [TRAINER]}}}},
}


def job(*path: str | int, value: Any) -> Any:
    """VALID with `value` at `path`; mappings on the way are made, a list grows by one at its length."""
    return with_value(VALID, *path, value=value)


def with_value(obj: Any, *path: str | int, value: Any) -> Any:
    changed = copy.deepcopy(obj)
    place = changed
    for step in path[:-1]:
        place = place[step] if isinstance(place, list) else place.setdefault(step, {})
    if isinstance(place, list) and path[-1] == len(place):
        place.append(value)
    else:
        place[path[-1]] = value
    return changed


def in_pod(*path: str | int, value: Any) -> Any:
    """VALID with a change below spec.worker.template.spec."""
    return job("spec", "worker", "template", "spec", *path, value=value)


def in_trainer(*path: str | int, value: Any) -> Any:
    """VALID with a change in the trainer container."""
    return in_pod("containers", 0, *path, value=value)


def parameter_server(**spec: Any) -> Any:
    """VALID as a parameter server, with more fields below spec."""
    return with_value(VALID, "spec", value=copy.deepcopy({**VALID["spec"], "strategy": "ParameterServer", **spec}))
