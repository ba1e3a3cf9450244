from __future__ import annotations

from fractions import Fraction

import pytest
from trireme.pocket.apiserver.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8), ("500m", Fraction(1, 2)), ("1.5Gi", 3 * 2**29), ("2e3", 2000), ("1E", 10**18), ("1Ei", 2**60),
        ("-.5", Fraction(-1, 2)), ("250u", Fraction(1, 4000)), ("3k", 3000), ("7n", Fraction(7, 10**9)),
    ],
)  # fmt: skip
def test_quantities_are_exact(text: str, value: Fraction) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "Gi", "1.5.2", "1 Gi", "0x10", "1KiB", "one"])
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        parse_quantity(text)
