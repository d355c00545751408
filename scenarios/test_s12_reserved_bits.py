"""12.6 Each reserved bit of the VXLAN header by itself, as in vxlan_reserved.sh.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                a reference VTEP, no vxlan device

All bits but the flag I and those of the VNI are reserved; bit 0 is the first on the wire.
"""

from __future__ import annotations

import struct

import pytest
from fdb_tools import LATER, MAC, OTHER, marked_frame
from reception_tools import kernel_at_a, reception_counters, reference_at_b

SOURCE = (
    "tools/testing/selftests/net/forwarding/vxlan_reserved.sh; "
    "drivers/net/vxlan/vxlan_core.c: vxlan_rcv()"
)
FLAG_I = 4
#: The first and the last bit of each reserved field.
ENDS = [0, 3, 5, 7, 8, 31, 56, 63]
RESERVED = [bit for bit in (*range(32), *range(56, 64)) if bit != FLAG_I]
assert len(RESERVED) == 39
HEADER = 0x0800000000002A00  # the flag I and VNI 42
ALL_RESERVED = 0xF7FFFFFF000000FF

pytestmark = pytest.mark.requires("vxlan.reserved_bits")


def text_of(bit):
    """The mark of the frame in the packet with a reserved bit."""
    return b"bit %d" % bit


def result_of_each_bit(lab):
    """For each reserved bit: whether a packet with it is delivered, and how many errors it is."""
    delivered, errors = [], []
    with reference_at_b(lab) as far, lab.capture("a:vxlan0") as seen:
        for bit in RESERVED:
            before = reception_counters(lab)["rx_frame_errors"]
            frame, good = (marked_frame(OTHER, to, text_of(bit)) for to in (MAC, LATER))
            far.send_bytes(struct.pack("!Q", HEADER | 1 << 63 - bit) + frame)
            far.send_bytes(struct.pack("!Q", HEADER) + good)
            seen["a:vxlan0"].wait_for(lambda one, good=good: one.data == good, "a good packet")
            errors.append(reception_counters(lab)["rx_frame_errors"] - before)
            delivered.append(frame in [one.data for one in seen["a:vxlan0"].frames])
    assert seen["a:vxlan0"].was_live
    return dict(zip(RESERVED, zip(delivered, errors, strict=True), strict=True))


def assert_result(lab, *, accepted):
    """Assert that packets with these bits are delivered and all others are errors."""
    wanted = {bit: (True, 0) if bit in accepted else (False, 1) for bit in RESERVED}
    found = result_of_each_bit(lab)
    wrong = [bit for bit in RESERVED if found[bit] != wanted[bit]]
    assert wrong == [], f"not as wanted are the {len(wrong)} bits {wrong}"


@pytest.mark.behaviour(
    "a packet with any single one of the 39 reserved bits of the VXLAN header is dropped, and "
    "counted in rx_frame_errors",
    source=SOURCE,
)
@pytest.mark.control(
    "VTEP a's device reserves no bit of the VXLAN header (`reserved_bits` is 0)",
    vteps={"a": {"reserved_bits": 0}},
    because=r"not as wanted are the 39 bits \[0, 1, 2, 3, 5, ",
)
@pytest.mark.topology(kernel_at_a, family=[4, 6])
def test_each_reserved_bit_is_an_error(lab):
    assert_result(lab, accepted=[])


def permitting(family, bit):
    """VTEP a, whose device reserves all bits but one."""
    return kernel_at_a(family, reserved_bits=ALL_RESERVED & ~(1 << 63 - bit))


def permitted_bit(lab):
    """The one bit that is reserved by default and not reserved by a's device."""
    bits = dict(lab.topology.host("a").vteps[0].attributes)["reserved_bits"]
    return next((bit for bit in RESERVED if not bits >> 63 - bit & 1), RESERVED[0])


@pytest.mark.behaviour(
    "a device whose `reserved_bits` lack one bit delivers packets with this bit, and drops packets "
    "with any other one of the 39 reserved bits of the VXLAN header",
    source=SOURCE,
)
@pytest.mark.control(
    "VTEP a's device reserves all 39 bits",
    vteps={"a": {"reserved_bits": ALL_RESERVED}},
    because=r"not as wanted are the 1 bits \[0\]",
)
@pytest.mark.topology(permitting, family=[4, 6], bit=ENDS)
def test_each_bit_can_be_permitted_by_itself(lab):
    assert_result(lab, accepted=[permitted_bit(lab)])
