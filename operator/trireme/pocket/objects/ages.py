"""Times as kubectl's tables tell them: how long ago, in the two largest units that matter."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from trireme.pocket.objects.formats import parse_time

UNKNOWN: Final = "<unknown>"


def age(timestamp: str | None, now: datetime) -> str:
    """The time since an RFC 3339 timestamp, such as `2m3s`; `<unknown>` without one."""
    if not timestamp:
        return UNKNOWN
    try:
        return human_duration((now - parse_time(timestamp)).total_seconds())
    except ValueError:
        return "<invalid>"


def human_duration(seconds: float) -> str:
    """Seconds in the units of k8s.io/apimachinery's `HumanDuration`; more than a second below zero is invalid."""
    if seconds <= -2:
        return "<invalid>"
    whole = max(0, int(seconds))
    minutes, hours = whole // 60, whole // 3600
    days, years = hours // 24, hours // 24 // 365
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if years < 2:
        return f"{days}d"
    if years < 8:
        return _two(years, "y", days % 365, "d")
    return f"{years}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"
