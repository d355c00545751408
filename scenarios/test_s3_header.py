"""3.1 Receiving the VXLAN header: flags, VNI and reserved bits.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                a reference VTEP, no vxlan device

Each test sends an unusual packet, and after it a good one that is delivered.  "Counted" means all
counters of vxlan0's receive side and all of UDP: a counter that a test does not name has not moved.
"""

from __future__ import annotations

import pytest
from reception_tools import (
    accepted,
    assert_outcome,
    dropped_by_vxlan,
    found_outcome,
    kernel_at_a,
    outcome,
    reference_at_b,
)

RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_rcv()"

both_families = pytest.mark.topology(kernel_at_a, family=[4, 6])
#: In place of an unusual header one that is good: a's device cannot be made to accept the other.
well_formed = pytest.mark.control(
    "the packet has a well-formed VXLAN header, with the I flag and the VNI of VTEP a",
    arguments={"header": {}},
    because=found_outcome(accepted()),
)
other_vni = pytest.mark.control(
    "VTEP a has VNI 43 while the packets have VNI 42",
    vteps={"a": {"id": 43}},
    because=r"a/vxlan0: waited .* for the marked payload b'good \d+'",
)
nothing_reserved = pytest.mark.control(
    "VTEP a's device reserves no bit of the VXLAN header (`reserved_bits` is 0)",
    vteps={"a": {"reserved_bits": 0}},
    because=found_outcome(accepted()),
)

MALFORMED = {"rx_errors": 1, "rx_frame_errors": 1}


def outcome_of(lab, header, frame=None):
    """The outcome of a packet with these fields in its VXLAN header."""
    with reference_at_b(lab) as far:
        return outcome(lab, far, lambda far, frame: far.send(frame, **header), frame)


@pytest.mark.behaviour(
    "a packet with a well-formed VXLAN header and the device's VNI is decapsulated and delivered",
    source=RECEIVE,
)
@other_vni
@both_families
def test_a_good_packet_is_delivered(lab):
    assert_outcome(outcome_of(lab, {}), accepted())


@pytest.mark.behaviour(
    "a packet whose VXLAN header lacks the I flag is dropped, and the VXLAN device does not "
    "count it",
    source=RECEIVE,
)
@well_formed
@both_families
@pytest.mark.parametrize(
    "header",
    [{"flags": 0x00}, {"flags": 0x80}, {"flags": 0x04}, {"flags": 0xF7}],
    ids=["no-flag", "only-gbp", "only-gpe", "all-others"],
)
def test_without_the_i_flag_it_is_dropped_uncounted(lab, header):
    assert_outcome(outcome_of(lab, header), dropped_by_vxlan())


@pytest.mark.behaviour(
    "a packet with a VNI that no device has is dropped, and the VXLAN device does not count it",
    source=RECEIVE,
)
@well_formed
@both_families
@pytest.mark.parametrize(
    "header", [{"vni": 43}, {"vni": 0}, {"vni": 0xFFFFFF}], ids=["next", "zero", "largest"]
)
def test_an_unknown_vni_is_dropped_uncounted(lab, header):
    assert_outcome(outcome_of(lab, header), dropped_by_vxlan())


@pytest.mark.behaviour(
    "a packet with a reserved flag set is dropped, and counted in rx_errors and rx_frame_errors",
    source=f"{RECEIVE}, RFC 7348, 5",
)
@nothing_reserved
@pytest.mark.requires("vxlan.reserved_bits")
@both_families
@pytest.mark.parametrize(
    "header",
    [{"flags": 0x08 | bit} for bit in (0x01, 0x02, 0x04, 0x10, 0x20, 0x40, 0x80)],
    ids=["oam", "flooded", "next-protocol", "0x10", "0x20", "0x40", "gbp"],
)
def test_a_reserved_flag_is_an_error(lab, header):
    assert_outcome(outcome_of(lab, header), dropped_by_vxlan(MALFORMED))


@pytest.mark.behaviour(
    "a packet with a bit of a reserved field set is dropped, and counted in rx_errors and "
    "rx_frame_errors",
    source=f"{RECEIVE}, RFC 7348, 5",
)
@nothing_reserved
@pytest.mark.requires("vxlan.reserved_bits")
@both_families
@pytest.mark.parametrize(
    "header",
    [
        {"reserved1": 0x000001},
        {"reserved1": 0x008000},
        {"reserved1": 0x800000},
        {"reserved2": 0x01},
        {"reserved2": 0x80},
    ],
    ids=["first-lowest", "first-middle", "first-highest", "second-lowest", "second-highest"],
)
def test_a_reserved_bit_is_an_error(lab, header):
    assert_outcome(outcome_of(lab, header), dropped_by_vxlan(MALFORMED))


@pytest.mark.behaviour(
    "the I flag and the VNI are checked before the reserved bits: a packet without the I flag or "
    "with an unknown VNI is dropped uncounted even if reserved bits are set",
    source=RECEIVE,
)
@well_formed
@both_families
@pytest.mark.parametrize(
    "header",
    [{"flags": 0xF7, "reserved2": 1}, {"vni": 43, "reserved2": 1}],
    ids=["no-i-flag", "unknown-vni"],
)
def test_reserved_bits_are_checked_last(lab, header):
    assert_outcome(outcome_of(lab, header), dropped_by_vxlan())


DEFAULT_RESERVED = 0xF7FFFFFF000000FF
#: For each case: which bits are reserved, and a header that sets bits that are not reserved.
PERMITTED = {
    "flag": (DEFAULT_RESERVED & ~(0x40 << 56), {"flags": 0x48}),
    "first": (DEFAULT_RESERVED & ~(0xFFFFFF << 32), {"reserved1": 0xABCDEF}),
    "second": (DEFAULT_RESERVED & ~0xFF, {"reserved2": 0xFF}),
    "all": (0, {"flags": 0xFF, "reserved1": 0xFFFFFF, "reserved2": 0xFF}),
}


def with_permitted(family, bits):
    """VTEP a with the ``reserved_bits`` of a case of ``PERMITTED``."""
    return kernel_at_a(family, reserved_bits=PERMITTED[bits][0])


@pytest.mark.behaviour(
    "a packet is delivered if the header bits that it sets are left out of the device's "
    "`reserved_bits`",
    source=RECEIVE,
)
@pytest.mark.control(
    "VTEP a has the default `reserved_bits`",
    vteps={"a": {"reserved_bits": DEFAULT_RESERVED}},
    because=found_outcome(dropped_by_vxlan(MALFORMED)),
)
@pytest.mark.requires("vxlan.reserved_bits")
@pytest.mark.topology(with_permitted, family=[4, 6], bits=list(PERMITTED))
def test_bits_that_are_not_reserved_may_be_set(lab):
    assert_outcome(outcome_of(lab, permitted_fields(lab)), accepted())


def permitted_fields(lab):
    """The header fields of the case whose ``reserved_bits`` a's device has.

    Under the control, which makes a device of no case, a header with all flags.
    """
    bits = dict(lab.topology.host("a").vteps[0].attributes)["reserved_bits"]
    fields = dict(PERMITTED.values())
    return fields.get(bits, {"flags": 0xFF})


@pytest.mark.behaviour(
    "a packet with a header bit that the device's `reserved_bits` names is dropped, and counted "
    "in rx_errors and rx_frame_errors",
    source=RECEIVE,
)
@nothing_reserved
@pytest.mark.requires("vxlan.reserved_bits")
@pytest.mark.topology(kernel_at_a, family=[4, 6], reserved_bits=0x00000000000000F0)
def test_bits_that_are_reserved_are_errors(lab):
    assert_outcome(outcome_of(lab, {"reserved2": 0x10}), dropped_by_vxlan(MALFORMED))
    assert_outcome(outcome_of(lab, {"reserved2": 0x01, "flags": 0x48}), accepted())


@pytest.mark.behaviour(
    "a device with `gbp` delivers packets whose header carries a group policy ID", source=RECEIVE
)
@pytest.mark.control(
    "VTEP a's device lacks the attribute `gbp`",
    vteps={"a": {"gbp": False}},
    because=r"Found not delivered, counted in (rx_errors 1, rx_frame_errors 1, )?InDatagrams 1\.",
)
@pytest.mark.topology(kernel_at_a, family=[4, 6], gbp=True)
@pytest.mark.parametrize(
    "header",
    [{"flags": 0x88, "reserved1": 100}, {"flags": 0x88, "reserved1": 0x48FFFF}],
    ids=["policy", "policy-and-bits"],
)
def test_a_gbp_device_takes_packets_with_a_policy(lab, header):
    assert_outcome(outcome_of(lab, header), accepted())


@pytest.mark.behaviour(
    "a device with `gbp` delivers packets without a group policy ID", source=RECEIVE
)
@other_vni
@pytest.mark.topology(kernel_at_a, family=[4, 6], gbp=True)
def test_a_gbp_device_takes_packets_without_a_policy(lab):
    assert_outcome(outcome_of(lab, {}), accepted())


@pytest.mark.behaviour(
    "a packet with less than a whole VXLAN header is dropped, and the VXLAN device does not "
    "count it",
    source=RECEIVE,
)
@pytest.mark.control(
    "the packet has its whole VXLAN header and inner frame",
    arguments={"length": 99},
    because=found_outcome(accepted()),
)
@both_families
@pytest.mark.parametrize("length", range(8))
def test_a_truncated_header_is_dropped_uncounted(lab, length):
    with reference_at_b(lab) as far:

        def cut(far, frame):
            far.send_bytes(far.encapsulate(frame)[:length])

        assert_outcome(outcome(lab, far, cut), dropped_by_vxlan())
