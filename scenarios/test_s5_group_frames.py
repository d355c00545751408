"""5.5 Frames to multicast groups: their outer headers, and which devices receive them.

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
    carries,
    copies_sent_to,
    counters_of,
    datagram_frame,
    group_of,
    send_frames,
    underlay_address,
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


def flood_to_another_group(lab):
    """Give a's device an FDB entry by which broadcasts go to another group."""
    other = "ff08::77:77" if ":" in group_of(lab) else "239.77.77.77"
    lab.apply(AddFdb("a", "vxlan0", BROADCAST, other, via="eth0"))


@pytest.mark.behaviour(
    "the outer destination MAC holds the low 23 bits of an IPv4 group, or the low 32 bits of an "
    "IPv6 group",
    source="RFC 1112 section 6.4; RFC 2464 section 7",
)
@pytest.mark.control(
    "an FDB entry of a sends broadcasts to another group",
    lab=flood_to_another_group,
    because="the outer MAC is (01:00:5e:4d:4d:4d|33:33:00:77:00:77)",
)
@pytest.mark.topology(on_group, group=list(MACS))
def test_the_outer_mac_is_made_from_the_group(lab):
    with lab.capture("a") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"flood"))
        frame = seen["a"].wait_for(carries(b"flood", lab.topology.ports), "the flooded frame")
    assert frame.dst == MACS[group_of(lab)], f"the outer MAC is {frame.dst}"


@pytest.mark.behaviour(
    "of two groups with one outer MAC, the lower device receives frames to both, the vxlan device "
    "only those to the group that it has joined",
    source="RFC 1112 section 6.4; net/ipv4/igmp.c: ip_check_mc_rcu()",
)
@pytest.mark.control(
    "b's device is in the same group as a's",
    vteps={"b": {"group": "239.1.1.1"}},
    because="packets received: {'b': 1, 'c': 1}",
)
@pytest.mark.topology(
    catalog.one_switch(hosts=3, port=4789).with_vtep("b", "overlay", group="239.129.1.1")
)
def test_groups_that_share_a_mac_are_told_apart_by_address(lab):
    before = {host: counters_of(lab, host).rx_packets for host in "bc"}
    with lab.capture("b:eth0", "c:vxlan0") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"flood"))
        seen["b:eth0"].wait_for(carries(b"flood", lab.topology.ports), "the frame on b's eth0")
        seen["c:vxlan0"].wait_for_payload(b"flood")
        lab["a"].send_marked(underlay_address(lab, "b"), b"later")
        seen["b:eth0"].wait_for_payload(b"later")
    received = {host: counters_of(lab, host).rx_packets - before[host] for host in "bc"}
    assert received == {"b": 0, "c": 1}, f"packets received: {received}"


def reflect_at_b(lab):
    """Let b's bridge forward frames out of the port that they came in by."""
    lab.apply(SetPort("b", "vxlan0", (("hairpin", True),)))


@pytest.mark.behaviour(
    "a VTEP does not receive the frames that it floods to its own group",
    source="net/ipv4/udp_tunnel_core.c: setup_udp_tunnel_sock(), MC_LOOP off",
)
@pytest.mark.control(
    "b's bridge port to the vxlan device is in hairpin mode",
    lab=reflect_at_b,
    because=r"a's device received \[b'flood', b'later'\]",
)
@pytest.mark.topology(catalog.multicast, family=[4, 6], hosts=2)
def test_a_vtep_does_not_receive_its_own_flooded_frame(lab):
    with lab.capture("ns0", "ns1", "a:vxlan0") as seen:
        send_frames(lab["ns0"], "eth0", datagram_frame(BROADCAST, b"flood"))
        seen["ns1"].wait_for_payload(b"flood")
        send_frames(lab["ns1"], "eth0", datagram_frame(BROADCAST, b"later"))
        seen["ns0"].wait_for_payload(b"later")
    received = seen["a:vxlan0"].payloads()
    assert received == [b"later"], f"a's device received {received}"
    assert seen["ns0"].payloads() == [b"later"]
    assert seen["a:vxlan0"].was_live


def second_device(host, vni, group):
    """The operation that makes a second vxlan device on a host, on the same UDP port."""
    attributes = (("id", vni), ("group", group), ("dev", "eth0"), ("dstport", 4789))
    return AddLink(host, "vxlan1", "vxlan", 0, attributes, up=True)


def without_second_device(operation):
    """Leave out the device by which a host joins a second group."""
    is_second = isinstance(operation, AddLink) and operation.name == "vxlan1"
    return None if is_second else operation


@pytest.mark.behaviour(
    "a device receives its VNI's packets to any group that its host has joined, also to that of "
    "another VNI",
    source=RECEIVE,
)
@pytest.mark.control(
    "b has not joined the group of the other VNI",
    change=without_second_device,
    because="b/vxlan0: waited .* b'flood'",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_vni_is_also_received_by_the_group_of_another_vni(lab):
    other = OTHER[group_of(lab)]
    lab.apply(second_device("b", 43, other), AddFdb("a", "vxlan0", BROADCAST, other, via="eth0"))
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"flood"))
        seen["b:eth0"].wait_for(carries(b"flood", lab.topology.ports), "the frame on b's eth0")
        seen["b:vxlan0"].wait_for_payload(b"flood", timeout=3)
    assert copies_sent_to(seen["b:eth0"], b"flood") == [other]


@pytest.mark.behaviour(
    "where two VNIs share a group, a host's lower device receives the packets of both, its vxlan "
    "device only those of its own VNI",
    source=RECEIVE,
)
@pytest.mark.control(
    "b's device has the VNI of a's second device",
    vteps={"b": {"id": 43}},
    because="b/vxlan0: .* marked b'other VNI'",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_two_vnis_in_one_group_stay_apart(lab):
    lab.apply(second_device("a", 43, group_of(lab)))
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        send_frames(lab["a"], "vxlan1", datagram_frame(BROADCAST, b"other VNI"))
        seen["b:eth0"].wait_for(carries(b"other VNI", lab.topology.ports), "the frame on b's eth0")
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"later"))
        seen["b:vxlan0"].wait_for_payload(b"later", timeout=3)
    assert seen["b:vxlan0"].payloads() == [b"later"]


@pytest.mark.behaviour(
    "with a remote in the default FDB entry beside the group, a flooded frame is sent to both",
    source=XMIT,
)
@pytest.mark.control(
    "b is not added to the remotes of a's device",
    without=AddFdb,
    because="the frame was not sent to both the group and b",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789, hosts=3)
def test_a_frame_is_flooded_to_the_group_and_to_a_remote_beside_it(lab):
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, underlay_address(lab, "b"), append=True))
    with lab.capture("a", "b") as seen:
        send_frames(
            lab["a"],
            "vxlan0",
            datagram_frame(BROADCAST, b"flood"),
            datagram_frame(BROADCAST, b"later"),
        )
        seen["b"].wait_for(carries(b"later", lab.topology.ports), "a later frame")
    sent = sorted(copies_sent_to(seen["a"], b"flood"))
    wanted = sorted([group_of(lab), underlay_address(lab, "b")])
    assert sent == wanted, "the frame was not sent to both the group and b"


@pytest.mark.behaviour(
    "frames to an inner multicast MAC whose FDB entry has an outer group are sent to that group, "
    "broadcasts to the device's own",
    source=XMIT,
)
@pytest.mark.control(
    "the inner multicast MAC has no FDB entry",
    without=AddFdb,
    because="the multicast frame was not sent to its entry's group",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_an_inner_group_may_have_an_outer_group_of_its_own(lab):
    inner, other = "01:00:5e:01:02:03", OTHER[group_of(lab)]
    lab.apply(AddFdb("a", "vxlan0", inner, other, via="eth0"))
    with lab.capture("a") as seen:
        send_frames(
            lab["a"],
            "vxlan0",
            datagram_frame(inner, b"inner group"),
            datagram_frame(BROADCAST, b"all"),
        )
        seen["a"].wait_for(carries(b"all", lab.topology.ports), "the broadcast")
    sent = copies_sent_to(seen["a"], b"inner group")
    assert sent == [other], "the multicast frame was not sent to its entry's group"
    assert copies_sent_to(seen["a"], b"all") == [group_of(lab)]
