"""2 MTU: a narrow place on the way, and who is told of it.

a ── net1 (1500) ── r ── net2 (1400) ── b          a and b with an address on the device, or

ns0 eth0 ─ br0 ─ vxlan0 ─ a ── lan ── b ─ vxlan0 ─ br0 ─ eth0 ns1         behind bridges
"""

from __future__ import annotations

import dataclasses

import pytest
from mtu_tools import learned_mtu, mtu_of, ping, room, told_mtu
from outer_tools import across_a_router, dissect, inner_ip, is_carrying, send, unique

from vxlab import catalog, operations, wait_until

CHECK = "net/ipv4/ip_tunnel_core.c: skb_tunnel_check_pmtu()"
REPLY = f"{CHECK}, iptunnel_pmtud_build_icmp(), iptunnel_pmtud_build_icmpv6()"
SET = 1  # df, as in include/uapi/linux/if_link.h: enum ifla_vxlan_df


def widened(topology):
    """The same, b's link with MTU 1500."""
    one, two = topology.switches
    return dataclasses.replace(topology, switches=(one, dataclasses.replace(two, mtu=1500)))


@pytest.mark.behaviour(
    "a router that cannot pass an outer packet on tells the VTEP, which tells who sends next: "
    "over IPv6 always, over IPv4 with df set",
    source=f"RFC 1191; RFC 8201; {CHECK}; drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()",
)
@pytest.mark.control("b's link has the same MTU", topology=widened, because="the router's word")
@pytest.mark.topology(across_a_router, family=[4], mtu=1400, df=SET)
@pytest.mark.topology(across_a_router, family=[6], mtu=1400)
def test_a_router_tells_the_vtep_which_tells_the_sender(lab, far):
    assert lab["a"].ping(far.address)
    lab["a"].send_marked(far.address, bytes(1370) + b"first")  # lost, and the router says so
    wait_until(lambda: learned_mtu(lab, far.ip) == 1400, "the router's word", timeout=3)
    assert learned_mtu(lab, far.address) is None  # the overlay's sender does not know yet
    lab["a"].send_marked(far.address, bytes(1370) + b"second")  # lost, and the VTEP says so
    assert learned_mtu(lab, far.address) == room(lab, 1400)
    refused = ping(lab, far.address, room(lab, 1400) + 1, df=True)
    assert (refused.code, told_mtu(refused)) == (1, room(lab, 1400))
    assert ping(lab, far.address, room(lab, 1400), df=True).code == 0


@pytest.mark.behaviour(
    "over IPv4 without DF a router fragments outer packets; the far end joins them, and nobody "
    "learns of it",
    source="net/ipv4/ip_forward.c; RFC 791, section 3.2",
)
@pytest.mark.control("a's device has df set", vteps={"a": {"df": SET}}, because="to take out")
@pytest.mark.topology(across_a_router(mtu=1400))
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])
def test_a_router_fragments_outer_packets_without_df(lab, far, version):
    assert lab["a"].ping(far.address)
    small = inner_ip(far, version, df=True)
    frame = inner_ip(far, version, df=True, more=bytes(14 + mtu_of(lab, "a") - len(small)))
    with lab.capture("a:eth0", "b:eth0") as seen:
        send(lab, frame)
        whole = seen["a:eth0"].wait_for(lambda x: x.data.endswith(frame), "the frame, in one piece")
        far.wait_for(frame, timeout=3)
    pieces = [x for x in seen["b:eth0"].frames if x.ethertype == 0x0800 and not x.outgoing]
    assert whole.length == 1514
    assert [dissect(each.data).flags for each in pieces] == [0x2000, 1376 // 8]
    assert learned_mtu(lab, far.ip) is None


def bridged(family, dev=False):
    """Containers behind bridges; a's vxlan device bound to no card, so that it has MTU 1500."""
    return catalog.bridged(family=family).with_vtep("a", "overlay", dev=dev)


def widen(lab):
    """Give the container an MTU of 1500, for which there is no room in the tunnel."""
    for node, device in (("a", "ns0-eth0"), ("ns0", "eth0")):
        lab.apply(operations.SetLink(node, device, mtu=1500))


def full(lab, version, **fields):
    """A frame from ns0 to ns1 that carries a packet of 1500 bytes."""
    small = inner_ip(ToNs1(lab), version, **fields)
    return inner_ip(ToNs1(lab), version, more=bytes(1514 - len(small)), **fields)


class ToNs1:
    """Whom frames go to."""

    def __init__(self, lab):
        (link,) = lab["ns1"].ip("link", "show", "eth0")
        self.mac = link["address"]


def is_too_big(frame):
    """ICMP "fragmentation needed" (RFC 792, type 3 code 4), or ICMPv6 "packet too big" (type 2)."""
    data = frame.data
    if data[12:14] == b"\x08\x00":
        return not frame.outgoing and data[23] == 1 and data[34:36] == b"\x03\x04"
    return not frame.outgoing and data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] == 2


@pytest.mark.behaviour(
    "a vxlan device in a bridge answers a packet that is too large by ICMP, as if it were whom "
    "the packet is for, and the packet goes no further",
    source=REPLY,
)
@pytest.mark.control("the packet is small", arguments={"size": 600}, because="ICMP")
@pytest.mark.topology(bridged, family=[4, 6])
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])
@pytest.mark.parametrize("size", [1514], ids=["full"])
def test_behind_a_bridge_the_sender_is_told_by_icmp(lab, version, size):
    widen(lab)
    frame = full(lab, version, df=True)[:size]
    with lab.capture("ns0:eth0", "b:eth0") as seen:
        send(lab, frame, "ns0:eth0")
        said = seen["ns0:eth0"].wait_for(is_too_big, "the ICMP message", timeout=3).data
        send(lab, small := inner_ip(ToNs1(lab), version), "ns0:eth0")
        seen["b:eth0"].wait_for(lambda x: is_carrying(x, small), "a later, small packet")
        seen["b:eth0"].assert_silent(lambda x: frame[14:60] in x.data, "piece of the large one")
    mtu = said[40:42] if version == 4 else said[60:62]
    assert (said[0:6], said[6:12]) == (frame[6:12], frame[0:6])  # the MACs change places
    addresses = (said[26:30], said[30:34]) if version == 4 else (said[22:38], said[38:54])
    asked = (frame[30:34], frame[26:30]) if version == 4 else (frame[38:54], frame[22:38])
    assert addresses == asked  # and so do the addresses
    assert int.from_bytes(mtu, "big") == room(lab)


@pytest.mark.behaviour(
    "a container behind the bridge believes it: its next packets fit",
    source=f"{REPLY}; RFC 1191",
)
@pytest.mark.control("a's device is bound to its card", vteps={"a": {"dev": True}}, because="told")
@pytest.mark.topology(bridged, family=[4, 6])
def test_a_container_learns_the_path_mtu(lab):
    widen(lab)
    assert lab["ns0"].ping("172.18.1.3")
    refused = ping(lab, "172.18.1.3", 1500, df=True, node="ns0", timeout=2)
    assert told_mtu(refused) == room(lab), "ns0 was not told"
    assert "From 172.18.1.3" in refused.stdout  # not so: ns1 never saw it
    assert learned_mtu(lab, "172.18.1.3", "ns0") == room(lab)
    assert ping(lab, "172.18.1.3", room(lab), df=True, node="ns0").code == 0


@pytest.mark.behaviour(
    "an IPv4 packet without DF is not answered: it goes out in outer fragments",
    source=f"{CHECK}; iptunnel_pmtud_check_icmp()",
)
@pytest.mark.control("the packet has DF", arguments={"df": True}, because="the frame|ICMP")
@pytest.mark.topology(bridged(4))
@pytest.mark.parametrize("df", [False], ids=["without_df"])
def test_behind_a_bridge_a_packet_without_df_is_fragmented_outside(lab, df):
    widen(lab)
    frame = full(lab, 4, df=df)
    with lab.capture("ns0:eth0", "b:vxlan0") as seen:
        send(lab, frame, "ns0:eth0")
        seen["b:vxlan0"].wait_for(lambda x: x.data == frame, "the frame", timeout=3)
        seen["ns0:eth0"].assert_silent(is_too_big, "ICMP")


@pytest.mark.behaviour(
    "a bridge drops what is too large for the vxlan device's own MTU, and tells nobody",
    source="net/bridge/br_forward.c: br_dev_queue_push_xmit(), is_skb_forwardable()",
)
@pytest.mark.control("a's device is bound to no card", vteps={"a": {"dev": False}}, because="ICMP")
@pytest.mark.topology(bridged, family=[4, 6], dev=True)
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])
def test_a_bridge_drops_what_is_too_large_for_the_device_in_silence(lab, version):
    widen(lab)
    frame = full(lab, version, df=True)
    with lab.capture("ns0:eth0", "b:eth0") as seen:
        send(lab, frame, "ns0:eth0")
        small = inner_ip(ToNs1(lab), version, more=unique())
        send(lab, small, "ns0:eth0")
        seen["b:eth0"].wait_for(lambda x: is_carrying(x, small), "a later, small packet")
        seen["b:eth0"].assert_silent(lambda x: frame[14:60] in x.data, "piece of the large one")
        seen["ns0:eth0"].assert_silent(is_too_big, "ICMP")
