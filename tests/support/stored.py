"""What an API server makes of a TrainingJob by our CRD, asked of the pocket's schema engine."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from trireme.pocket.objects.schema import Structural
from trireme.spec.crd import crd

VERSION = crd()["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


@functools.cache
def _schema() -> Structural:
    return Structural(SCHEMA)


def stored(obj: Any) -> Any:
    """As the API server would keep it."""
    kept = json.loads(json.dumps(obj))
    assert _schema().prune(kept) == []
    _schema().default(kept)
    return kept


def causes(obj: Any, old: Any = None) -> list[tuple[str, str]]:
    """Field and message of everything that is wrong, without what Kubernetes puts before a message."""
    found = _schema().validate(stored(obj), None if old is None else stored(old))
    return [
        (cause.field, re.sub(r'^Invalid value: (?:(?:"[^"]*"|\d+|true|false): )?', "", cause.message))
        for cause in found
    ]
