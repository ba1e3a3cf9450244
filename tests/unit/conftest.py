"""Unit tests are deterministic: Hypothesis draws the same examples every time, keeps no files and watches no clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unit", derandomize=True, database=None, deadline=None)
settings.load_profile("unit")
