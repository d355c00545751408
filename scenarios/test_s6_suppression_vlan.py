"""6.6 Neighbour suppression by VLAN: one bridge port that suppresses in some of its VLANs.

ns0 eth0 ── br0 ── vxlan0 a ── b vxlan0 ── br0 ── eth0 ns1        VLANs 10 and 20, both tagged
"""

from __future__ import annotations

import pytest
from flood_tools import BROADCAST, datagram_frame, send_frames
from neighbour_tools import ADVERTISEMENT, REQUEST, arp_message, nd_message, request_for

from vxlab import catalog
from vxlab.operations import SetPort

SOURCE = "net/bridge/br_arp_nd_proxy.c: br_is_neigh_suppress_enabled()"
SUPPRESSED, FREE = 10, 20
pytestmark = pytest.mark.requires("bridge-vlan-suppress", "bridge.neigh_vlan_suppress")
FRAMES = {
    "arp-announcement": arp_message(REQUEST, "172.18.1.200", "172.18.1.200"),
    "unsolicited-na": nd_message(ADVERTISEMENT, "fd42::200", flags=0x20),
}
PROBES = {
    "arp-probe": arp_message(REQUEST, "0.0.0.0", "172.18.1.200"),
    "dad": request_for("fd42::200", source="::"),
}
NEWER = pytest.mark.known_difference("K62", since="7.2")  # a suppressing port forwards probes


def tagged(frame, vlan):
    """A frame in a VLAN."""
    return frame[:12] + b"\x81\x00" + vlan.to_bytes(2, "big") + frame[12:]


def make_vlans(lab):
    """Give a's bridge both VLANs, one of them with `neigh_suppress` on the port to the tunnel."""
    node = lab["a"]
    node.run("ip", "link", "set", "br0", "type", "bridge", "vlan_filtering", "1")
    for vlan in (SUPPRESSED, FREE):
        for port in ("ns0-eth0", "vxlan0"):
            node.run("bridge", "vlan", "add", "dev", port, "vid", str(vlan))
    words = ("vlan", "set", "dev", "vxlan0", "vid", str(SUPPRESSED), "neigh_suppress", "on")
    node.run("bridge", *words)


@pytest.mark.behaviour(
    "a bridge port with `neigh_vlan_suppress` suppresses only in the VLANs that have "
    "`neigh_suppress`",
    source=SOURCE,
)
@pytest.mark.control(
    "the bridge port has no `neigh_vlan_suppress`",
    without=SetPort,
    because=r"the message was sent in the VLANs \[\(10,\), \(20,\)\]",
)
@pytest.mark.parametrize(
    "frame",
    [
        *(pytest.param(frame, id=name) for name, frame in FRAMES.items()),
        *(pytest.param(frame, id=name, marks=NEWER) for name, frame in PROBES.items()),
    ],
)
@pytest.mark.topology(catalog.bridged())
def test_a_port_suppresses_in_some_vlans_only(lab, frame):
    make_vlans(lab)
    lab.apply(SetPort("a", "vxlan0", (("neigh_vlan_suppress", True),)))
    later = tagged(datagram_frame(BROADCAST, b"later"), SUPPRESSED)
    with lab.capture("a:eth0") as seen:
        send_frames(lab["ns0"], "eth0", tagged(frame, SUPPRESSED), tagged(frame, FREE), later)
        seen["a:eth0"].wait_for(lambda one: later in one.data, "a later frame")
    inside = [packet.inner for packet in seen["a:eth0"].encapsulated() if packet.inner.outgoing]
    found = [one.vlans for one in inside if one.data[16 : len(frame) + 4] == frame[12:]]
    assert found == [(FREE,)], f"the message was sent in the VLANs {found}"
