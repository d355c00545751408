"""3.1 The VXLAN header: which packets are for this device, and which are malformed.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                a reference VTEP, no vxlan device

Each test sends an odd packet, and after it a good one that is delivered.  "Counted" are all that
vxlan0 counts of what it receives, and all of UDP: what is not named has not moved.
"""

from __future__ import annotations

import pytest
from reception_tools import accepted, far_end, one_end, outcome, refused

RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_rcv()"

both = pytest.mark.topology(one_end, family=[4, 6])
#: In place of an odd header: one that is good.
good = pytest.mark.control("the header is good", arguments={"odd": {}}, because="assert")

MALFORMED = {"rx_errors": 1, "rx_frame_errors": 1}


def sent(lab, odd, frame=None):
    """What comes of a packet with these fields in its header."""
    with far_end(lab) as far:
        return outcome(lab, far, lambda far, frame: far.send(frame, **odd), frame)


@pytest.mark.behaviour("a good packet is delivered", source=RECEIVE)
@pytest.mark.control("a's device has another VNI", vteps={"a": {"id": 43}}, because="waited")
@both
def test_a_good_packet_is_delivered(lab):
    assert sent(lab, {}) == accepted()


@pytest.mark.behaviour("without the I flag a packet is dropped, and not counted", source=RECEIVE)
@good
@both
@pytest.mark.parametrize(
    "odd",
    [{"flags": 0x00}, {"flags": 0x80}, {"flags": 0x04}, {"flags": 0xF7}],
    ids=["no-flag", "only-gbp", "only-gpe", "all-others"],
)
def test_without_the_i_flag_it_is_dropped_uncounted(lab, odd):
    assert sent(lab, odd) == refused()


@pytest.mark.behaviour("an unknown VNI is dropped, and not counted", source=RECEIVE)
@good
@both
@pytest.mark.parametrize(
    "odd", [{"vni": 43}, {"vni": 0}, {"vni": 0xFFFFFF}], ids=["next", "zero", "largest"]
)
def test_an_unknown_vni_is_dropped_uncounted(lab, odd):
    assert sent(lab, odd) == refused()


@pytest.mark.behaviour("a reserved flag is an error", source=f"{RECEIVE}, RFC 7348, 5")
@good
@pytest.mark.requires("vxlan.reserved_bits")
@both
@pytest.mark.parametrize(
    "odd",
    [{"flags": 0x08 | bit} for bit in (0x01, 0x02, 0x04, 0x10, 0x20, 0x40, 0x80)],
    ids=["oam", "flooded", "next-protocol", "0x10", "0x20", "0x40", "gbp"],
)
def test_a_reserved_flag_is_an_error(lab, odd):
    assert sent(lab, odd) == refused(MALFORMED)


@pytest.mark.behaviour("a bit of the reserved fields is an error", source=f"{RECEIVE}, RFC 7348, 5")
@good
@pytest.mark.requires("vxlan.reserved_bits")
@both
@pytest.mark.parametrize(
    "odd",
    [
        {"reserved1": 0x000001},
        {"reserved1": 0x008000},
        {"reserved1": 0x800000},
        {"reserved2": 0x01},
        {"reserved2": 0x80},
    ],
    ids=["first-lowest", "first-middle", "first-highest", "second-lowest", "second-highest"],
)
def test_a_reserved_bit_is_an_error(lab, odd):
    assert sent(lab, odd) == refused(MALFORMED)


@pytest.mark.behaviour("the I flag and the VNI are looked at first", source=RECEIVE)
@good
@both
@pytest.mark.parametrize(
    "odd",
    [{"flags": 0xF7, "reserved2": 1}, {"vni": 43, "reserved2": 1}],
    ids=["no-i-flag", "unknown-vni"],
)
def test_reserved_bits_of_what_is_not_ours_are_no_error(lab, odd):
    assert sent(lab, odd) == refused()


#: reserved_bits says which bits of the header may not be set; all others are passed over.
PERMITTED = {
    "flag": (0xF7FFFFFF000000FF & ~(0x40 << 56), {"flags": 0x48}),
    "first": (0xF7FFFFFF000000FF & ~(0xFFFFFF << 32), {"reserved1": 0xABCDEF}),
    "second": (0xF7FFFFFF000000FF & ~0xFF, {"reserved2": 0xFF}),
    "all": (0, {"flags": 0xFF, "reserved1": 0xFFFFFF, "reserved2": 0xFF}),
}


@pytest.mark.behaviour("bits that reserved_bits leaves out may be set", source=RECEIVE)
@pytest.mark.control(
    "a's device has the usual reserved bits",
    vteps={"a": {"reserved_bits": 0xF7FFFFFF000000FF}},
    because="assert",
)
@pytest.mark.requires("vxlan.reserved_bits")
@pytest.mark.topology(
    lambda family, bits: one_end(family, reserved_bits=PERMITTED[bits][0]),
    family=[4, 6],
    bits=list(PERMITTED),
)
def test_bits_that_are_not_reserved_may_be_set(lab):
    assert sent(lab, permitted(lab)) == accepted()


def permitted(lab):
    """The header of the case that a's device is made for."""
    bits = dict(lab.topology.host("a").vteps[0].attributes)["reserved_bits"]
    return next((odd for allowed, odd in PERMITTED.values() if allowed == bits), {"flags": 0xFF})


@pytest.mark.behaviour("bits that reserved_bits names are errors all the same", source=RECEIVE)
@pytest.mark.control("no bit is reserved", vteps={"a": {"reserved_bits": 0}}, because="assert")
@pytest.mark.requires("vxlan.reserved_bits")
@pytest.mark.topology(
    lambda family: one_end(family, reserved_bits=0x00000000000000F0), family=[4, 6]
)
def test_bits_that_are_reserved_are_errors(lab):
    assert sent(lab, {"reserved2": 0x10}) == refused(MALFORMED)
    assert sent(lab, {"reserved2": 0x01, "flags": 0x48}) == accepted()


@pytest.mark.behaviour("a device with gbp takes packets with a policy", source=RECEIVE)
@pytest.mark.control("a's device has no gbp", vteps={"a": {"gbp": False}}, because="assert")
@pytest.mark.topology(lambda family: one_end(family, gbp=True), family=[4, 6])
@pytest.mark.parametrize(
    "odd",
    [{"flags": 0x88, "reserved1": 100}, {"flags": 0x88, "reserved1": 0x48FFFF}],
    ids=["policy", "policy-and-bits"],
)
def test_a_gbp_device_takes_packets_with_a_policy(lab, odd):
    assert sent(lab, odd) == accepted()


@pytest.mark.behaviour("a device with gbp takes plain packets too", source=RECEIVE)
@pytest.mark.control("a's device has another VNI", vteps={"a": {"id": 43}}, because="waited")
@pytest.mark.topology(lambda family: one_end(family, gbp=True), family=[4, 6])
def test_a_gbp_device_takes_plain_packets(lab):
    assert sent(lab, {}) == accepted()


@pytest.mark.behaviour("a packet without a whole VXLAN header is dropped uncounted", source=RECEIVE)
@pytest.mark.control("the packet is whole", arguments={"length": 99}, because="assert")
@both
@pytest.mark.parametrize("length", range(8))
def test_a_truncated_header_is_dropped_uncounted(lab, length):
    with far_end(lab) as far:

        def cut(far, frame):
            far.send_bytes(far.encapsulate(frame)[:length])

        assert outcome(lab, far, cut) == refused()
