"""Single values of netlink attributes: as bytes, and back."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from vxlab.netlink.values import ValueType, decode, encode

INDEXES = {"eth0": 7}
NAMES = {7: "eth0"}
SAMPLES: list[tuple[ValueType, Any, bytes]] = [
    ("u8", 9, b"\x09"),
    ("u16", 4000, struct.pack("=H", 4000)),
    ("u16be", 4789, b"\x12\xb5"),
    ("u32", 77, struct.pack("=I", 77)),
    ("label", 0xABCDE, b"\x00\x0a\xbc\xde"),
    ("bool", True, b"\1"),
    ("bool", False, b"\0"),
    ("flag", True, b""),
    ("mac", "02:00:00:00:00:01", bytes([2, 0, 0, 0, 0, 1])),
    ("address", "10.0.0.9", bytes([10, 0, 0, 9])),
    ("address", "fd00::9", bytes.fromhex("fd00") + bytes(13) + b"\x09"),
    ("device", "eth0", struct.pack("=I", 7)),
    ("ports", (100, 200), b"\0\x64\0\xc8"),
    ("bits", 0xFF, bytes(7) + b"\xff"),
    ("mode", "exclude", b"\0"),
    ("mode", "include", b"\1"),
]


@pytest.mark.parametrize(("kind", "value", "payload"), SAMPLES)
def test_a_value_is_encoded_as_the_kernel_wants_it(
    kind: ValueType, value: Any, payload: bytes
) -> None:
    assert encode(kind, value, INDEXES.__getitem__) == payload


@pytest.mark.parametrize(("kind", "value", "payload"), SAMPLES)
def test_it_is_read_back_as_it_was_written(kind: ValueType, value: Any, payload: bytes) -> None:
    assert decode(kind, payload, NAMES.__getitem__) == value


def test_no_device_is_read_as_none() -> None:
    assert decode("device", bytes(4), NAMES.__getitem__) is None


def test_a_flag_with_a_byte_that_says_no_is_not_set() -> None:
    assert decode("flag", b"\0", NAMES.__getitem__) is False


@pytest.mark.parametrize(
    ("kind", "value"), [("u8", 256), ("u16be", -1), ("address", "x"), ("mode", "all")]
)
def test_what_does_not_fit_its_type_is_refused(kind: ValueType, value: Any) -> None:
    with pytest.raises((ValueError, KeyError, struct.error)):
        encode(kind, value, INDEXES.__getitem__)
