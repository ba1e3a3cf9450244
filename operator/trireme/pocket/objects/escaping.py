"""The names by which rules read fields whose own names are no CEL identifiers."""

from __future__ import annotations

import re
from typing import Final

_KEYWORDS: Final = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return",
})  # fmt: skip
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}


def spellings(name: str) -> tuple[str, ...]:
    """`a-b` -> `a__dash__b`; a keyword such as `namespace` reads as `__namespace__` or as itself."""
    if name in _KEYWORDS:
        return f"__{name}__", name
    return (re.sub(r"__|[./-]", lambda match: _ESCAPES[match[0]], name),)
