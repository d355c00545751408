"""3.2 The inner frame: how short it may be.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                a reference VTEP, no vxlan device
"""

from __future__ import annotations

import pytest
from fdb_tools import MAC, OTHER, marked
from reception_tools import accepted, far_end, one_end, outcome, refused

RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_rcv()"
PULL = "net/ipv4/ip_tunnel_core.c: __iptunnel_pull_header()"

both = pytest.mark.topology(one_end, family=[4, 6])
WHOLE = marked(OTHER, MAC, b"whole")


def ethernet(kind, length=0):
    """An Ethernet frame with so many bytes behind its header."""
    return bytes.fromhex((OTHER + MAC).replace(":", "") + kind) + bytes(length)


def carried(lab, frame):
    """What comes of a frame."""
    with far_end(lab) as far:
        return outcome(lab, far, lambda far, frame: far.send(frame), frame)


@pytest.mark.behaviour(
    "an inner frame without a whole MAC header is dropped uncounted", source=PULL
)
@pytest.mark.control("the frame is whole", arguments={"length": 60}, because="assert")
@both
@pytest.mark.parametrize("length", [0, 1, 6, 12, 13])
def test_an_inner_frame_without_a_mac_header_is_dropped_uncounted(lab, length):
    assert carried(lab, WHOLE[:length]) == refused()


SHORT = {
    "ipv4-header-only": ethernet("0800"),
    "ipv4-19-bytes": ethernet("0800", 19),
    "ipv6-header-only": ethernet("86dd"),
    "ipv6-39-bytes": ethernet("86dd", 39),
}


@pytest.mark.behaviour("a frame too short for its IP header is a length error", source=RECEIVE)
@pytest.mark.known_difference("K57", until="6.1")
@pytest.mark.control("the frame is whole", arguments={"frame": WHOLE}, because="assert")
@both
@pytest.mark.parametrize("frame", SHORT.values(), ids=SHORT.keys())
def test_a_frame_too_short_for_its_ip_header_is_a_length_error(lab, frame):
    assert carried(lab, frame) == refused({"rx_errors": 1, "rx_length_errors": 1})


TAKEN = {
    "ipv4-20-bytes": ethernet("0800", 20),
    "ipv6-40-bytes": ethernet("86dd", 40),
    "arp-header-only": ethernet("0806"),
    "unknown-header-only": ethernet("88b5"),
    "802.3-header-only": ethernet("0010"),
    "unknown-46-bytes": ethernet("88b5", 46),
}


@pytest.mark.behaviour(
    "what is inside of the IP header, or of other kinds of frame, nobody looks at", source=RECEIVE
)
@pytest.mark.control("the frame is cut", arguments={"frame": WHOLE[:13]}, because="assert")
@both
@pytest.mark.parametrize("frame", TAKEN.values(), ids=TAKEN.keys())
def test_other_short_frames_are_delivered(lab, frame):
    assert carried(lab, frame) == accepted()
