"""trireme.pocket.kubelet.addresses: who holds which loopback address."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from trireme.pocket.kubelet import addresses as module
from trireme.pocket.kubelet.addresses import Addresses, NoAddress
from trireme.pocket.kubelet.rewriting import HostName

A, B = HostName("ns", "svc", "a"), HostName("ns", "svc", "b")


@pytest.fixture
def addresses() -> Addresses:
    return Addresses(IPv4Address("127.64.0.0"))


def test_each_name_has_an_address_of_its_own(addresses: Addresses) -> None:
    assert addresses.node == "127.64.0.1"
    assert [addresses.hold(A, "pod-a"), addresses.hold(B, "pod-b")] == ["127.64.0.2", "127.64.0.3"]


def test_who_mentions_a_name_before_its_pod_exists_gets_the_same_address(addresses: Addresses) -> None:
    mentioned = addresses.hold(A, "pod-b")
    assert addresses.hold(A, "pod-a") == mentioned


def test_a_name_keeps_its_address_while_anybody_holds_it(addresses: Addresses) -> None:
    first = addresses.hold(A, "pod-a")
    addresses.hold(A, "pod-b")
    addresses.release("pod-a")
    assert addresses.hold(A, "successor") == first


def test_an_address_that_nobody_holds_is_free_but_rests(addresses: Addresses) -> None:
    addresses.hold(A, "pod-a")
    addresses.release("pod-a")
    assert addresses.hold(B, "pod-b") == "127.64.0.3"


def test_no_network_and_no_broadcast_address_is_given_out(addresses: Addresses) -> None:
    given = {addresses.hold(HostName("ns", "svc", str(number)), "pod") for number in range(600)}
    assert len(given) == 600
    assert not {address for address in given if address.split(".")[3] in ("0", "255")}


def test_when_all_are_taken_it_says_so(addresses: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PER_BLOCK", 4)
    addresses.hold(A, "pod-a")
    addresses.hold(B, "pod-b")
    with pytest.raises(NoAddress, match=r"all addresses of 127\.64\.0\.0/16 are taken"):
        addresses.hold(HostName("ns", "svc", "c"), "pod-c")
