"""Whether an image reference is well-formed. The pocket pulls nothing, but a typing error should show here already."""

from __future__ import annotations

import re

_SEPARATED = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])"
_REFERENCE = re.compile(
    rf"(?:{_HOST}(?::[0-9]+)?/)?{_SEPARATED}(?:/{_SEPARATED})*(?::\w[\w.-]{{0,127}})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?\Z"
)


def is_reference(text: str) -> bool:
    """Grammar of the distribution project: `[host[:port]/]path[:tag][@digest]`."""
    return _REFERENCE.match(text) is not None
