from __future__ import annotations

import pytest
from trireme.pocket.apiserver.builtin import wire


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def message(*fields: tuple[int, bytes | str | int]) -> bytes:
    """A protobuf message of these (number, value) pairs."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(raw)) + raw
    return out


def envelope(kind: str, body: bytes) -> bytes:
    return b"k8s\0" + message((1, message((1, "v1"), (2, kind))), (2, body), (3, ""), (4, ""))


def test_a_secret_with_bytes_labels_and_a_time() -> None:
    metadata = message((1, "s"), (3, ""), (8, message((1, 0))), (11, message((1, "a"), (2, "b"))))
    body = message((1, metadata), (2, message((1, "k"), (2, b"\0\xff"))), (3, "Opaque"), (5, 0))
    assert wire.decode(envelope("Secret", body), "io.k8s.api.core.v1.Secret") == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "labels": {"a": "b"}},
        "data": {"k": "AP8="},
        "type": "Opaque",
        "immutable": False,
    }


def test_inlined_messages_quantities_and_numbers() -> None:
    limits = message((1, "nvidia.com/gpu"), (2, message((1, "8"))))
    container = message((1, "c"), (2, "i"), (8, message((1, limits))))
    volume = message((1, "v"), (2, message((2, message((1, "Memory"))))))
    spec = message((1, volume), (2, container), (4, 0), (5, (1 << 64) - 1))
    assert wire.decode(envelope("Pod", message((2, spec))), "io.k8s.api.core.v1.Pod") == {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
            "containers": [{"name": "c", "image": "i", "resources": {"limits": {"nvidia.com/gpu": "8"}}}],
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": -1,
        },
    }


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"kind":"Secret"}', id="json"),
        pytest.param(b"k8s\0\x0a\xff", id="cut short"),
        pytest.param(b"k8s\0\x0a\x05abc", id="longer than its message"),
        pytest.param(envelope("Secret", b"\x0b"), id="unknown wire type"),
        pytest.param(envelope("Secret", message((1, 7))), id="number for a message"),
        pytest.param(envelope("Secret", message((3, b"\xff\xfe"))), id="not UTF-8"),
    ],
)
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(body, "io.k8s.api.core.v1.Secret")
