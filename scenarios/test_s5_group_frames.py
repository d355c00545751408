"""5.5 Frames to groups: what they look like outside, and whom they reach.

a eth0 192.168.10.2 ──┐       ┌── 192.168.10.4 eth0 c
  vxlan0              ├─ vbr ─┤     vxlan0               group 239.1.1.1 (ff08::239:1:1:1)
b eth0 192.168.10.3 ──┘       └──
  vxlan0
"""

from __future__ import annotations

import pytest
from flood_tools import (
    ANY_MAC,
    BROADCAST,
    address_of,
    carries,
    copies,
    counters_of,
    group_of,
    marked,
    send,
)

from vxlab import catalog
from vxlab.operations import AddFdb, AddLink, SetPort

XMIT = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"
RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_rcv()"
OTHER = {"239.1.1.1": "239.2.2.2", "ff08::239:1:1:1": "ff08::239:2:2:2"}
MACS = {
    "239.1.1.1": "01:00:5e:01:01:01",
    "239.129.1.1": "01:00:5e:01:01:01",  # only 23 bits of the group are in the MAC
    "224.255.255.254": "01:00:5e:7f:ff:fe",
    "224.0.0.100": "01:00:5e:00:00:64",
    "ff02::100": "33:33:00:00:01:00",
    "ff05::1:3": "33:33:00:01:00:03",
    "ff08::239:1:1:1": "33:33:00:01:00:01",
    "ff1e:40:fd00::8000:1": "33:33:80:00:00:01",
}


def on_group(group):
    """Two hosts in a group."""
    return catalog.one_switch(family=6 if ":" in group else 4, group=group, port=4789)


@pytest.mark.behaviour(
    "the outer MAC is made of the low 23 bits of an IPv4 group, 32 of an IPv6 group",
    source="RFC 1112 section 6.4; RFC 2464 section 7",
)
@pytest.mark.control("a floods to another group", lab=lambda lab: flood_elsewhere(lab))
@pytest.mark.topology(on_group, group=list(MACS))
def test_the_outer_mac_is_made_of_the_group(lab):
    with lab.capture("a") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"flood"))
        frame = seen["a"].wait_for(carries(b"flood", lab.topology.ports), "the flood")
    assert frame.dst == MACS[group_of(lab)]


def flood_elsewhere(lab):
    """Give a's broadcasts another group."""
    other = "ff08::77:77" if ":" in group_of(lab) else "239.77.77.77"
    lab.apply(AddFdb("a", "vxlan0", BROADCAST, other, via="eth0"))


@pytest.mark.behaviour(
    "of two groups with one MAC a card hears both, and its device the one it has joined",
    source="RFC 1112 section 6.4; net/ipv4/igmp.c: ip_check_mc_rcu()",
)
@pytest.mark.control("b is in a's group", vteps={"b": {"group": "239.1.1.1"}})
@pytest.mark.topology(
    catalog.one_switch(hosts=3, port=4789).with_vtep("b", "overlay", group="239.129.1.1")
)
def test_groups_that_share_a_mac_are_told_apart_by_address(lab):
    before = counters_of(lab, "b").rx_packets, counters_of(lab, "c").rx_packets
    with lab.capture("b:eth0", "c:vxlan0") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"flood"))
        seen["b:eth0"].wait_for(carries(b"flood", lab.topology.ports), "the flood at b's card")
        seen["c:vxlan0"].wait_for_payload(b"flood")
        lab["a"].send_marked(address_of(lab, "b"), b"later")
        seen["b:eth0"].wait_for_payload(b"later")
    after = counters_of(lab, "b").rx_packets, counters_of(lab, "c").rx_packets
    assert after == (before[0], before[1] + 1)


@pytest.mark.behaviour(
    "a sender does not hear what it floods to its own group",
    source="net/ipv4/udp_tunnel_core.c: setup_udp_tunnel_sock(), MC_LOOP off",
)
@pytest.mark.control(
    "b sends back what it gets", lab=lambda lab: lab.apply(SetPort("b", "vxlan0", HAIRPIN))
)
@pytest.mark.topology(catalog.multicast, family=[4, 6], hosts=2)
def test_a_sender_does_not_hear_its_own_flood(lab):
    with lab.capture("ns0", "ns1", "a:vxlan0") as seen:
        send(lab["ns0"], "eth0", marked(BROADCAST, b"flood"))
        seen["ns1"].wait_for_payload(b"flood")
        send(lab["ns1"], "eth0", marked(BROADCAST, b"later"))
        seen["ns0"].wait_for_payload(b"later")
    assert seen["ns0"].payloads() == seen["a:vxlan0"].payloads() == [b"later"]
    assert seen["a:vxlan0"].was_live


HAIRPIN = (("hairpin", True),)


@pytest.mark.behaviour(
    "a group separates nothing: any group that the host has joined brings a VNI's packets",
    source=RECEIVE,
)
@pytest.mark.control("b has not joined it", change=lambda op: None if is_vxlan1(op) else op)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_vni_also_comes_by_a_group_of_another_vni(lab):
    other = OTHER[group_of(lab)]
    lab.apply(another("b", 43, other), AddFdb("a", "vxlan0", BROADCAST, other, via="eth0"))
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"flood"))
        seen["b:eth0"].wait_for(carries(b"flood", lab.topology.ports), "the flood at b's card")
        seen["b:vxlan0"].wait_for_payload(b"flood", timeout=3)
    assert copies(seen["b:eth0"], b"flood") == [other]


def another(host, vni, group):
    """A second vxlan device of a host, on the same port: the operation that makes it."""
    attributes = (("id", vni), ("group", group), ("dev", "eth0"), ("dstport", 4789))
    return AddLink(host, "vxlan1", "vxlan", 0, attributes, up=True)


def is_vxlan1(operation):
    return isinstance(operation, AddLink) and operation.name == "vxlan1"


@pytest.mark.behaviour(
    "two VNIs in one group hear each other's packets on the wire only", source=RECEIVE
)
@pytest.mark.control("both are of one VNI", vteps={"b": {"id": 43}})
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_two_vnis_in_one_group_stay_apart(lab):
    lab.apply(another("a", 43, group_of(lab)))
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        send(lab["a"], "vxlan1", marked(BROADCAST, b"other VNI"))
        seen["b:eth0"].wait_for(carries(b"other VNI", lab.topology.ports), "the flood at the card")
        send(lab["a"], "vxlan0", marked(BROADCAST, b"later"))
        seen["b:vxlan0"].wait_for_payload(b"later", timeout=3)
    assert seen["b:vxlan0"].payloads() == [b"later"]


@pytest.mark.behaviour("a remote beside the group gets a copy of its own", source=XMIT)
@pytest.mark.control("there is no remote", without=AddFdb)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789, hosts=3)
def test_a_flood_goes_to_the_group_and_to_a_remote_beside_it(lab):
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, address_of(lab, "b"), append=True))
    with lab.capture("a", "b") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"flood"), marked(BROADCAST, b"later"))
        seen["b"].wait_for(carries(b"later", lab.topology.ports), "the later flood")
    assert sorted(copies(seen["a"], b"flood")) == sorted([group_of(lab), address_of(lab, "b")])


@pytest.mark.behaviour("an inner group may have an outer group of its own", source=XMIT)
@pytest.mark.control("it has none", without=AddFdb)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_an_inner_group_may_go_to_an_outer_group_of_its_own(lab):
    inner, other = "01:00:5e:01:02:03", OTHER[group_of(lab)]
    lab.apply(AddFdb("a", "vxlan0", inner, other, via="eth0"))
    with lab.capture("a") as seen:
        send(lab["a"], "vxlan0", marked(inner, b"inner group"), marked(BROADCAST, b"all"))
        seen["a"].wait_for(carries(b"all", lab.topology.ports), "the broadcast")
    assert copies(seen["a"], b"inner group") == [other]
    assert copies(seen["a"], b"all") == [group_of(lab)]
