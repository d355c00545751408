"""1.5 What is inside: any Ethernet frame, with its tags.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

ns0 eth0 ─ br0 ─ vxlan0 ─ a ──── lan ──── b ─ vxlan0 ─ br0 ─ eth0 ns1
"""

from __future__ import annotations

import pytest
from outer_tools import (
    SENDER,
    dissect,
    family_of,
    inner_bytes,
    inner_ip,
    made,
    see,
    send,
    unique,
)

from vxlab import catalog

CORE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"
OTHER_VNI = {"vteps": {"a": {"id": 7}}}

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
    """The same frame with VLAN tags behind its MACs."""
    return frame[:12] + bytes.fromhex(tags) + frame[12:]


def untagged(frame, tags):
    """The control of what follows: the same frame, its tags lost."""
    return frame


@pytest.fixture
def as_sent():
    """How frames are tagged when they are sent."""
    return tagged


@pytest.mark.behaviour(
    "VLAN tags of an inner frame are carried unchanged, one, several, and of all kinds",
    source=f"{CORE}; IEEE 802.1Q, section 9. RFC 7348, section 6.1, would have none by default",
)
@pytest.mark.control("the tags are lost", arguments={"as_sent": untagged}, because="inner=|==")
@pytest.mark.topology(made())
@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_inner_vlan_tags_are_carried_unchanged(lab, far, as_sent, tags):
    frame = inner_ip(far)
    outer = see(lab, as_sent(frame, tags))
    assert outer.inner == tagged(frame, tags)
    far.wait_for(tagged(frame, tags))


OTHERS = {
    "arp": (0x0806, "0001080006040001" + "00" * 20),
    "lldp": (0x88CC, "0207"),
    "mpls": (0x8847, "00064140"),
    "pppoe": (0x8864, "1100"),
    "length_field": (38, "424203" + "00" * 19),  # IEEE 802.3 with LLC, as STP has it
    "nobodys": (0xFFFE, ""),
}


@pytest.mark.behaviour(
    "frames that hold no IP are carried like all others", source="RFC 7348, section 4"
)
@pytest.mark.control("a's device is in another VNI", because="to take out", **OTHER_VNI)
@pytest.mark.topology(made())
@pytest.mark.parametrize("kind", OTHERS)
def test_frames_that_are_not_ip_are_carried_too(lab, far, kind):
    ethertype, start = OTHERS[kind]
    outer = see(lab, frame := inner_bytes(far, ethertype, bytes.fromhex(start) + unique()))
    assert outer.inner == frame
    far.wait_for(frame, timeout=3)


@pytest.mark.behaviour(
    "IPv4 and IPv6 go inside IPv4 and IPv6, in all four pairs", source="RFC 7348, section 5"
)
@pytest.mark.control("a's device is in another VNI", because="to take out", **OTHER_VNI)
@pytest.mark.topology(made, family=[4, 6])
def test_both_families_go_inside_both(lab, far):
    for version in (4, 6):
        outer = see(lab, frame := inner_ip(far, version))
        assert (outer.version, outer.inner[14] >> 4) == (family_of(lab), version)
        far.wait_for(frame, timeout=3)
        far.agrees(outer)


@pytest.mark.behaviour(
    "an IPv6 host of the overlay is pinged over an underlay of either family",
    source="RFC 7348, section 4; RFC 4861: neighbour solicitations are flooded as multicast",
)
@pytest.mark.control("a's device is in another VNI", because="Ping|ping", **OTHER_VNI)
@pytest.mark.topology(
    lambda family: (
        made(family)
        .with_vtep("a", "overlay", addresses=("fd01::2/64",))
        .with_vtep("b", "overlay", addresses=("fd01::3/64",))
    ),
    family=[4, 6],
)
def test_an_ipv6_ping_is_answered_over_either_family(lab, far):
    assert lab["a"].ping(far.address, timeout=3)
    assert far.ping("fd01::2")


@pytest.mark.behaviour(
    "VLAN tags of a frame that comes over a bridge are carried unchanged too: the kernel has "
    "taken the first off by then, and puts it back",
    source="net/core/dev.c: validate_xmit_vlan(); net/core/skbuff.c: skb_vlan_untag()",
)
@pytest.mark.control("the tags are lost", arguments={"as_sent": untagged}, because="inner=|==")
@pytest.mark.topology(catalog.bridged())
@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_vlan_tags_pass_bridges_unchanged(lab, as_sent, tags):
    (link,) = lab["ns1"].ip("link", "show", "eth0")
    macs = bytes.fromhex((link["address"] + SENDER).replace(":", ""))
    frame = macs + b"\x88\xb5" + unique()
    with lab.capture("b:eth0", "ns1:eth0") as seen:
        send(lab, as_sent(frame, tags), "ns0:eth0")
        outer = seen["b:eth0"].wait_for(lambda x: x.data.endswith(frame[-16:]), "the packet")
        assert dissect(outer.data).inner == tagged(frame, tags)
        seen["ns1:eth0"].wait_for(lambda x: x.data == tagged(frame, tags), "the frame itself")
