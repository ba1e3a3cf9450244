import pytest
from trireme.pocket.objects import names

LABEL_EXAMPLES = "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
KEY_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (names.dns_label, "a-1"),
        (names.dns_label, "x" * 63),
        (names.dns_subdomain, "a.b-c.9"),
        (names.dns_1035_label, "widgets"),
        (names.port_name, "http-2"),
        (names.label_key, "app"),
        (names.label_key, "example.com/App_1"),
        (names.label_value, ""),
        (names.label_value, "A.b_c-9"),
        (names.config_key, "..a".lstrip(".") + ".txt"),
        (names.environment_name, "A B-c.d"),
    ],
)
def test_good(check, value):
    assert check(value) is None


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (names.dns_label, "a.b", "must not contain dots"),
        (names.dns_label, "h" * 64, "must be no more than 63 bytes"),
        (
            names.dns_label,
            "Bad_Name",
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
            f"and must start and end with an alphanumeric character {LABEL_EXAMPLES}",
        ),
        (
            names.dns_subdomain,
            "Bad_Name",
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (names.port_name, "1-", "must contain at least one letter (a-z); must not begin or end with a hyphen"),
        (names.label_key, "bad key!", f"name part {KEY_RULE}"),
        (names.label_key, "", f"name part must be non-empty; name part {KEY_RULE}"),
        (names.label_key, "/a", "prefix part must be non-empty"),
        (
            names.label_key,
            "a/b/c",
            f"a valid label key {KEY_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        ),
        (names.label_value, "x" * 64, "must be no more than 63 bytes"),
        (names.config_key, "..", "must not be '..'"),
        (names.config_key, "..a", "must not start with '..'"),
        (names.environment_name, "", "environment variable name must be non-empty"),
        (
            names.environment_name,
            "A=B",
            "a valid environment variable name must consist only of printable ASCII characters other than '='",
        ),
    ],
)
def test_bad(check, value, message):
    assert check(value) == message
