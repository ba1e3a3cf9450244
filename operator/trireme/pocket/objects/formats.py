"""The `format` keyword: which strings and numbers have the form that a schema names. Unknown ones accept all."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Final
from urllib.parse import urlparse

_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[Zz]|[+-]\d\d:\d\d)")
_DURATION: Final = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_UUID: Final = "[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"

RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "float": (-3.4028234663852886e38, 3.4028234663852886e38),
}
"""The inclusive bounds of number formats."""


def parse_time(text: str) -> datetime:
    """An RFC 3339 time; fractions beyond microseconds are cut. Raises ValueError."""
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(f"{text!r} is no RFC 3339 time")
    text = re.sub(r"[.,](\d{1,6})\d*", lambda match: f".{match[1]:0<6}", text.upper())
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def parse_duration(text: str) -> timedelta:
    """A Go duration such as `1h30m`. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is no duration")
    parts = re.findall(r"([\d.]+)(ns|us|µs|μs|ms|s|m|h)", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


def parse_bytes(text: str) -> bytes:
    """Standard base64. Raises ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def is_format(name: str, text: str) -> bool:
    """Whether a string has the named format."""
    check = _STRINGS.get(name.replace("-", ""))
    if check is None:
        return True
    try:
        return check(text) is not False
    except ValueError:
        return False


def _matches(pattern: str) -> Callable[[str], object]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text: compiled.fullmatch(text) is not None


_STRINGS: Final[Mapping[str, Callable[[str], object]]] = {
    "datetime": parse_time,
    "date": date.fromisoformat,
    "duration": parse_duration,
    "byte": parse_bytes,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "cidr": lambda text: ipaddress.ip_network(text, strict=False) if "/" in text else False,
    "uri": lambda text: bool(urlparse(text).scheme),
    "email": _matches(r"[^@\s]+@[^@\s]+"),
    "hostname": _matches(
        r"(?=.{1,253}\.?$)[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*\.?"
    ),
    "mac": _matches(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}"),
    "uuid": _matches(_UUID % ("[0-9a-f]", "[0-9a-f]")),
    "uuid3": _matches(_UUID % ("3", "[0-9a-f]")),
    "uuid4": _matches(_UUID % ("4", "[89ab]")),
    "uuid5": _matches(_UUID % ("5", "[89ab]")),
}
