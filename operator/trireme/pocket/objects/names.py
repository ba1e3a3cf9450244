"""The spelling rules of names, labels and their like, in Kubernetes' own words.

Each check returns None for a good value, else the message that the real API server puts into its refusal.
It knows values only: which field carries them is the caller's business.
"""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = f"({_QUALIFIED})?"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"

_LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_1035_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_RULE: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_CONFIG_KEY_RULE: Final = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_PORT_RULE: Final = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"

_CHECKS: Final = {
    pattern: re.compile(pattern) for pattern in (_LABEL, _SUBDOMAIN, _LABEL_1035, _QUALIFIED, _LABEL_VALUE, _CONFIG_KEY)
}


def dns_label(value: str) -> str | None:
    """A DNS-1123 label: names of namespaces, containers, volumes; hostnames."""
    if "." in value and not dns_subdomain(value):
        return _joined(_too_long(value, 63), "must not contain dots")
    return _joined(_too_long(value, 63), _mismatch(value, _LABEL, _LABEL_RULE, "my-name", "123-abc"))


def dns_subdomain(value: str) -> str | None:
    """A DNS-1123 subdomain: the names of most objects."""
    return _joined(_too_long(value, 253), _mismatch(value, _SUBDOMAIN, _SUBDOMAIN_RULE, "example.com"))


def dns_1035_label(value: str) -> str | None:
    """A DNS-1035 label: plurals and short names of custom resources."""
    return _joined(_too_long(value, 63), _mismatch(value, _LABEL_1035, _LABEL_1035_RULE, "my-name", "abc-123"))


def port_name(value: str) -> str | None:
    """An IANA service name: the names of container ports."""
    return _joined(
        _too_long(value, 15),
        None if re.fullmatch("[-a-z0-9]+", value) else _PORT_RULE,
        None if re.search("[a-z]", value) else "must contain at least one letter (a-z)",
        "must not contain consecutive hyphens" if "--" in value else None,
        "must not begin or end with a hyphen" if value[:1] == "-" or value[-1:] == "-" else None,
    )


def label_key(value: str) -> str | None:
    """A qualified name such as `app` or `example.com/app`: label and annotation keys, finalizers, resource names."""
    prefix, slash, name = value.rpartition("/")
    rule = f"{_QUALIFIED_RULE} {_examples(_QUALIFIED, 'MyName', 'my.name', '123-abc')}"
    if "/" in prefix:
        return f"a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    return _joined(
        "prefix part must be non-empty" if slash and not prefix else None,
        _named("prefix part", dns_subdomain(prefix)) if prefix else None,
        _named("name part", _too_long(name, 63)) if name else "name part must be non-empty",
        None if _CHECKS[_QUALIFIED].fullmatch(name) else f"name part {rule}",
    )


def label_value(value: str) -> str | None:
    """The value of a label; empty is good."""
    return _joined(
        _too_long(value, 63),
        _mismatch(value, _LABEL_VALUE, _LABEL_VALUE_RULE, "MyValue", "my_value", "12345"),
    )


def config_key(value: str) -> str | None:
    """A key in the data of a ConfigMap or Secret."""
    if value in (".", ".."):
        return f"must not be '{value}'"
    if value.startswith(".."):
        return "must not start with '..'"
    return _joined(
        _too_long(value, 253), _mismatch(value, _CONFIG_KEY, _CONFIG_KEY_RULE, "key.name", "KEY_NAME", "key-name")
    )


def environment_name(value: str) -> str | None:
    """The name of a container's environment variable (relaxed rule of Kubernetes 1.34 and later)."""
    if not value:
        return "environment variable name must be non-empty"
    if not all(" " <= letter <= "~" and letter != "=" for letter in value):
        return "a valid environment variable name must consist only of printable ASCII characters other than '='"
    return None


def _too_long(value: str, limit: int) -> str | None:
    return f"must be no more than {limit} bytes" if len(value.encode()) > limit else None


def _mismatch(value: str, pattern: str, rule: str, *examples: str) -> str | None:
    return None if _CHECKS[pattern].fullmatch(value) else f"{rule} {_examples(pattern, *examples)}"


def _examples(pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"(e.g. {shown}regex used for validation is '{pattern}')"


def _named(part: str, message: str | None) -> str | None:
    return message and f"{part} {message}"


def _joined(*messages: str | None) -> str | None:
    return "; ".join(message for message in messages if message) or None
