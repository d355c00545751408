"""3.2 Receiving the inner frame: how short it may be.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                a reference VTEP, no vxlan device
"""

from __future__ import annotations

import pytest
from fdb_tools import MAC, OTHER, marked_frame
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
PULL = "net/ipv4/ip_tunnel_core.c: __iptunnel_pull_header()"

both_families = pytest.mark.topology(kernel_at_a, family=[4, 6])
WHOLE = marked_frame(OTHER, MAC, b"whole")


def ethernet(kind, length=0):
    """An Ethernet frame of this EtherType, with so many zero bytes behind its header."""
    return bytes.fromhex((OTHER + MAC).replace(":", "") + kind) + bytes(length)


def outcome_of(lab, frame):
    """The outcome of a packet with this inner frame."""
    with reference_at_b(lab) as far:
        return outcome(lab, far, lambda far, frame: far.send(frame), frame)


@pytest.mark.behaviour(
    "an inner frame shorter than an Ethernet header is dropped, and the VXLAN device does not "
    "count it",
    source=PULL,
)
@pytest.mark.control(
    "the inner frame is whole", arguments={"length": 60}, because=found_outcome(accepted())
)
@both_families
@pytest.mark.parametrize("length", [0, 1, 6, 12, 13])
def test_an_inner_frame_without_a_mac_header_is_dropped_uncounted(lab, length):
    assert_outcome(outcome_of(lab, WHOLE[:length]), dropped_by_vxlan())


SHORT = {
    "ipv4-header-only": ethernet("0800"),
    "ipv4-19-bytes": ethernet("0800", 19),
    "ipv6-header-only": ethernet("86dd"),
    "ipv6-39-bytes": ethernet("86dd", 39),
}


@pytest.mark.behaviour(
    "an inner frame too short for the IP header that its EtherType announces is dropped, and "
    "counted in rx_errors and rx_length_errors",
    source=RECEIVE,
)
@pytest.mark.known_difference("K57", until="6.1")
@pytest.mark.control(
    "the inner frame holds a whole IPv4 packet",
    arguments={"frame": WHOLE},
    because=found_outcome(accepted()),
)
@both_families
@pytest.mark.parametrize("frame", SHORT.values(), ids=SHORT.keys())
def test_a_frame_too_short_for_its_ip_header_is_a_length_error(lab, frame):
    wanted = dropped_by_vxlan({"rx_errors": 1, "rx_length_errors": 1})
    assert_outcome(outcome_of(lab, frame), wanted)


UNCHECKED = {
    "ipv4-20-bytes": ethernet("0800", 20),
    "ipv6-40-bytes": ethernet("86dd", 40),
    "arp-header-only": ethernet("0806"),
    "unknown-header-only": ethernet("88b5"),
    "802.3-header-only": ethernet("0010"),
    "unknown-46-bytes": ethernet("88b5", 46),
}


@pytest.mark.behaviour(
    "an inner frame with enough bytes for its IP header, or with an EtherType other than IP, is "
    "delivered: the content of these bytes is not checked",
    source=RECEIVE,
)
@pytest.mark.control(
    "the inner frame is cut to 13 bytes, less than an Ethernet header",
    arguments={"frame": WHOLE[:13]},
    because=found_outcome(dropped_by_vxlan()),
)
@both_families
@pytest.mark.parametrize("frame", UNCHECKED.values(), ids=UNCHECKED.keys())
def test_other_short_frames_are_delivered(lab, frame):
    assert_outcome(outcome_of(lab, frame), accepted())
