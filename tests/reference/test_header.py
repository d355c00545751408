"""VXLAN headers as bytes, and what is wrong with those that were received."""

from __future__ import annotations

import dataclasses
import socket

import pytest
from reference_tools import FRAME, one_kernel_vtep, reference

from vxlab.reference import Header, Received, header

INNER_V4, INNER_V6 = b"\x45" + bytes(19), b"\x60" + bytes(39)


@pytest.mark.parametrize(
    ("first8", "inner", "mode", "problem"),
    [
        ("0800000000002a00", FRAME, "", ""),
        ("08000000", b"", "", "wanted a header of 8 bytes, found 4"),
        ("0000000000002a00", FRAME, "", r"wanted the I flag \(0x08\), found flags 0x00"),
        ("1800000000002a00", FRAME, "", "wanted no other flags, found 0x10"),
        ("8800006400002a00", FRAME, "", "wanted no other flags, found 0x80; wanted the first"),
        ("0800000100002a00", FRAME, "", "wanted the first reserved field zero, found 0x000001"),
        ("0800000000002b00", FRAME, "", "wanted the VNI 42, found 43"),
        ("0800000000002a01", FRAME, "", "wanted the last reserved byte zero, found 0x01"),
        ("0800000000002a00", FRAME[:13], "", "wanted an Ethernet frame inside, found 13 bytes"),
        ("0800000000002a00", bytes(14), "", "wanted a unicast source MAC inside, found 00:00"),
        ("0800000000002a00", b"\xff" * 14, "", "wanted a unicast source MAC inside, found ff:ff"),
        ("8848006400002a00", FRAME, "gbp", ""),
        ("0800000000002a00", FRAME, "gbp", ""),
        ("0800006400002a00", FRAME, "gbp", "wanted the first reserved field zero, found 0x000064"),
        ("8810006400002a00", FRAME, "gbp", "wanted the first reserved field zero, found 0x100000"),
        ("c800006400002a00", FRAME, "gbp", "wanted no other flags, found 0x40"),
        ("0c00000300002a00", FRAME, "gpe", ""),
        ("0800000000002a00", FRAME, "gpe", ""),
        ("0e00000300002a00", FRAME, "gpe", ""),
        ("0c00000100002a00", INNER_V4, "gpe", ""),
        ("0c00000200002a00", INNER_V6, "gpe", ""),
        ("0c00000100002a00", INNER_V6, "gpe", "wanted an IPv4 packet inside"),
        ("0c00000200002a00", INNER_V6[:39], "gpe", "wanted an IPv6 packet inside"),
        ("0c00000400002a00", FRAME, "gpe", "wanted a next protocol of 1, 2 or 3, found 4"),
        ("0800000300002a00", FRAME, "gpe", "wanted the first reserved field zero"),
        ("1c00000300002a00", FRAME, "gpe", "wanted the GPE version 0, found 1"),
        ("0d00000300002a00", FRAME, "gpe", "wanted a packet to forward, found an OAM packet"),
        ("8c00000300002a00", FRAME, "gpe", "wanted no other flags, found 0x80"),
    ],
)
def test_what_is_wrong_with_a_header_is_named(first8, inner, mode, problem):
    modes = {mode: True} if mode else {}
    found = header.problem(bytes.fromhex(first8) + inner, 42, **modes)
    assert bool(found) == bool(problem)
    assert not problem or found.startswith(problem.replace("\\", ""))


def test_a_header_is_its_bytes():
    head = Header(flags=0x88, reserved1=0x480064, vni=0x010203, reserved2=4)
    assert bytes(head) == bytes.fromhex("8848006401020304")
    assert Header.parse(bytes(head) + b"more") == head
    assert Header.parse(b"\x08\x01") == Header(flags=8, reserved1=0x010000, vni=0)


@pytest.mark.topology(one_kernel_vtep())
def test_malformed_packets_are_told_apart(lab):
    with reference(lab) as far, lab["a"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for payload in ("08", "00000000 00002a00", "08000000 00002a00"):
            sock.sendto(bytes.fromhex(payload), (far.local, 4789))
        far.wait_for(lambda row: row.problem.startswith("wanted an Ethernet"), "the last one")
        assert [row.problem.split(",")[0] for row in far.received] == [
            "wanted a header of 8 bytes",
            "wanted the I flag (0x08)",
            "wanted an Ethernet frame inside",
        ]
        assert all("(refused: wanted " in str(row) for row in far.received)
        assert isinstance(far.received[0], Received)
        with pytest.raises(dataclasses.FrozenInstanceError):
            far.received[0].vni = 1
