import pytest
from trireme_worker.network import NoInterface, interface_of, split_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits-worker-0.tj-digits.team.svc:7070", ("digits-worker-0.tj-digits.team.svc", 7070)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("[fd00::1]:7070", ("fd00::1", 7070)),
    ],
)
def test_addresses(text, expected):
    assert split_address(text) == expected


@pytest.mark.parametrize("text", ["", "host", "host:", ":7070", "host:x", "host:65536", "host:-1"])
def test_no_addresses(text):
    with pytest.raises(ValueError, match=r"is not host:port"):
        split_address(text)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.4.5.6", "::1"])
def test_loopback_is_lo(address):
    assert interface_of(address) == "lo"


def test_an_address_of_nobody():
    with pytest.raises(NoInterface, match=r"no network interface carries the pod's address 203\.0\.113\.77"):
        interface_of("203.0.113.77")
