"""How problems are put into words: what was found, and what was probably meant."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

INTEGER_MAX = 2**63 - 1
"""Of an integer in Kubernetes' API; bigger ones are not spelt out either."""
SHOWN_MAX = 60
"""Characters of a user's value that a message repeats."""


def describe(value: Any) -> str:
    """A value as a message names it: short, and never more than its kind for collections."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) <= INTEGER_MAX else "a huge number"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, str):
        return f'the string "{shown(value)}"'
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"a {type(value).__name__}"


def unknown_field(name: str, known: Iterable[str]) -> str:
    nearest = _nearest(name, known)
    return f"unknown field; did you mean `{nearest}`?" if nearest else "unknown field"


def one_of(allowed: Iterable[str], value: Any) -> str:
    allowed = tuple(allowed)
    nearest = _nearest(value, allowed) if isinstance(value, str) else None
    hint = f"; did you mean {nearest}?" if nearest else ""
    return f"must be {' or '.join(allowed)}, got {describe(value)}{hint}"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """Compares without regard to case: `Containers` is the commonest slip of all."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name[:SHOWN_MAX].casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def shown(text: str) -> str:
    """A user's text as one short line: cut, and with its control characters spelt out."""
    text = text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."
    return text if text.isprintable() else json.dumps(text, ensure_ascii=True)[1:-1]
