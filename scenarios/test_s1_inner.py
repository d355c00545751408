"""1.7 The inner frame: any Ethernet frame is carried, with its VLAN tags.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

ns0 eth0 ─ br0 ─ vxlan0 ─ a ──── lan ──── b ─ vxlan0 ─ br0 ─ eth0 ns1
"""

from __future__ import annotations

import pytest
from outer_tools import (
    SENDER,
    dissect,
    ethernet_frame,
    family_of,
    ip_frame,
    one_tunnel,
    outer_packet,
    send_frame,
    unique_bytes,
)

from vxlab import catalog

CORE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"


def with_ipv6_addresses(family):
    """One tunnel, with IPv6 addresses on the vxlan devices."""
    plain = one_tunnel(family).with_vtep("a", "overlay", addresses=("fd01::2/64",))
    return plain.with_vtep("b", "overlay", addresses=("fd01::3/64",))


TAGS = {
    "802.1q": "81000064",
    "priority_tag": "8100a000",
    "all_bits": "8100ffff",
    "802.1ad": "88a800c8",
    "qinq": "88a800c881000064",
    "802.1q_twice": "810000c881000064",
    "three_tags": "88a800c88100006481000065",
}


def tagged(frame, tags):
    """The same frame with VLAN tags behind its MAC addresses."""
    return frame[:12] + bytes.fromhex(tags) + frame[12:]


@pytest.fixture
def sent_tags(tags):
    """The VLAN tags of the frame that is sent; a control sends it without."""
    return tags


@pytest.mark.behaviour(
    "VLAN tags of an inner frame are carried unchanged: a single tag or several, 802.1Q and "
    "802.1ad",
    source=f"{CORE}; IEEE 802.1Q, section 9. RFC 7348, section 6.1, would have none by default",
)
@pytest.mark.control(
    "the frame is sent without its VLAN tags",
    arguments={"sent_tags": ""},
    because=r"the inner frame has other VLAN tags\nassert b",
)
@pytest.mark.topology(one_tunnel())
@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_inner_vlan_tags_are_carried_unchanged(lab, far, sent_tags, tags):
    frame = ip_frame(far)
    outer = outer_packet(lab, tagged(frame, sent_tags))
    assert outer.inner == tagged(frame, tags), "the inner frame has other VLAN tags"
    far.wait_for(tagged(frame, tags))


NOT_IP = {
    "arp": (0x0806, "0001080006040001" + "00" * 20),
    "lldp": (0x88CC, "0207"),
    "mpls": (0x8847, "00064140"),
    "pppoe": (0x8864, "1100"),
    "length_field": (38, "424203" + "00" * 19),  # IEEE 802.3 with LLC, as STP has it
    "unassigned": (0xFFFE, ""),
}


@pytest.mark.behaviour(
    "inner frames that are not IP are carried unchanged, as IP frames are",
    source="RFC 7348, section 4",
)
@pytest.mark.control(
    "VTEP a has VNI 7, which VTEP b does not have",
    vteps={"a": {"id": 7}},
    because="waited 3.* to decapsulate b",
)
@pytest.mark.topology(one_tunnel())
@pytest.mark.parametrize("kind", NOT_IP)
def test_frames_that_are_not_ip_are_carried_too(lab, far, kind):
    ethertype, start = NOT_IP[kind]
    outer = outer_packet(
        lab, frame := ethernet_frame(far, ethertype, bytes.fromhex(start) + unique_bytes())
    )
    assert outer.inner == frame, "the inner frame was changed"
    far.wait_for(frame, timeout=3)


@pytest.mark.behaviour(
    "IPv4 and IPv6 packets are carried inside both IPv4 and IPv6 outer packets",
    source="RFC 7348, section 5",
)
@pytest.mark.control(
    "VTEP a has VNI 7, which VTEP b does not have",
    vteps={"a": {"id": 7}},
    because="waited 3.* to decapsulate b",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_ipv4_and_ipv6_are_carried_inside_either(lab, far):
    for version in (4, 6):
        outer = outer_packet(lab, frame := ip_frame(far, version))
        assert (outer.version, outer.inner[14] >> 4) == (family_of(lab), version)
        far.wait_for(frame, timeout=3)
        far.assert_same_outer(outer)


@pytest.mark.behaviour(
    "an IPv6 host of the overlay answers a ping over an IPv4 and over an IPv6 underlay",
    source="RFC 7348, section 4; RFC 4861: neighbour solicitations are flooded as multicast",
)
@pytest.mark.control(
    "VTEP a has VNI 7, which VTEP b does not have",
    vteps={"a": {"id": 7}},
    because=r"b does not answer\nassert Ping\(sent=1, received=0",
)
@pytest.mark.topology(
    with_ipv6_addresses,
    family=[4, 6],
)
def test_an_ipv6_ping_is_answered_over_either_underlay(lab, far):
    assert lab["a"].ping(far.address, timeout=3), "b does not answer"
    assert far.ping("fd01::2"), "a does not answer"


@pytest.mark.behaviour(
    "VLAN tags of a frame that a bridge forwards into the tunnel are carried unchanged, too",
    source="net/core/dev.c: validate_xmit_vlan(); net/core/skbuff.c: skb_vlan_untag()",
)
@pytest.mark.control(
    "the frame is sent without its VLAN tags",
    arguments={"sent_tags": ""},
    because=r"the inner frame has other VLAN tags\nassert b",
)
@pytest.mark.topology(catalog.bridged())
# The kernel moves the first tag into the skb when a packet is received, and back when it is sent.
@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_vlan_tags_pass_bridges_unchanged(lab, sent_tags, tags):
    (link,) = lab["ns1"].ip("link", "show", "eth0")
    macs = bytes.fromhex((link["address"] + SENDER).replace(":", ""))
    frame = macs + b"\x88\xb5" + unique_bytes()
    with lab.capture("b:eth0", "ns1:eth0") as seen:
        send_frame(lab, tagged(frame, sent_tags), "ns0:eth0")
        outer = seen["b:eth0"].wait_for(lambda x: x.data.endswith(frame[-16:]), "the outer packet")
        inner = dissect(outer.data).inner
        assert inner == tagged(frame, tags), "the inner frame has other VLAN tags"
        seen["ns1:eth0"].wait_for(lambda x: x.data == tagged(frame, tags), "the inner frame")
