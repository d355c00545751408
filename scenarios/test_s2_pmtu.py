"""2.3 Path MTU discovery: a small MTU on the path, and who receives the ICMP error.

a ── net1 (MTU 1500) ── router r ── net2 (MTU 1400) ── b

ns0 eth0 ─ br0 ─ vxlan0 ─ a ── lan ── b ─ vxlan0 ─ br0 ─ eth0 ns1
"""

from __future__ import annotations

import pytest
from mtu_tools import (
    inner_mtu,
    learned_mtu,
    mtu_of,
    refused_mtu,
    reported_mtu,
    sized_ping,
    with_mtu,
)
from outer_tools import across_a_router, dissect, ip_frame, is_carrying, send_frame, unique_bytes

from vxlab import catalog, operations, wait_until

CHECK = "net/ipv4/ip_tunnel_core.c: skb_tunnel_check_pmtu()"
REPLY = f"{CHECK}, iptunnel_pmtud_build_icmp(), iptunnel_pmtud_build_icmpv6()"
SET = 1  # df, as in include/uapi/linux/if_link.h: enum ifla_vxlan_df


def with_mtu_1500(topology):
    """The same topology, all links of its underlay with an MTU of 1500."""
    return with_mtu(topology, 1500)


def with_a_larger_underlay(topology):
    """The same over an underlay that has room for all headers."""
    return with_mtu(topology, 1600)


@pytest.mark.behaviour(
    "a router that drops an outer packet as too large reports that to the VTEP by ICMP, and "
    "the sender of the next inner packet that is too large learns the path MTU: over IPv6, "
    "and over IPv4 with `df set`",
    source=f"RFC 1191; RFC 8201; {CHECK}; drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()",
)
@pytest.mark.control(
    "the link from the router to b has an MTU of 1500",
    topology=with_mtu_1500,
    because="waited 3.* for a to learn the path MTU from the router",
)
@pytest.mark.topology(across_a_router, family=[4], mtu=1400, df=SET)
@pytest.mark.topology(across_a_router, family=[6], mtu=1400)
def test_the_path_mtu_from_a_router_reaches_the_sender(lab, far):
    assert lab["a"].ping(far.address), "b does not answer"
    lab["a"].send_marked(far.address, bytes(1370) + b"first")  # dropped by the router
    wait_until(
        lambda: learned_mtu(lab, far.ip) == 1400,
        "a to learn the path MTU from the router",
        timeout=3,
    )
    assert learned_mtu(lab, far.address) is None  # not yet learned for the overlay
    lab["a"].send_marked(far.address, bytes(1370) + b"second")  # dropped by the VTEP
    assert learned_mtu(lab, far.address) == inner_mtu(lab, 1400)
    assert refused_mtu(lab, far.address, inner_mtu(lab, 1400) + 1) == inner_mtu(lab, 1400)
    assert sized_ping(lab, far.address, inner_mtu(lab, 1400), df=True).code == 0


@pytest.mark.behaviour(
    "over IPv4 without DF a router fragments outer packets that are too large, the remote "
    "VTEP reassembles them, and the sending VTEP learns no path MTU",
    source="net/ipv4/ip_forward.c; RFC 791, section 3.2",
)
@pytest.mark.control(
    "VTEP a has `df set`", vteps={"a": {"df": SET}}, because="waited 3.* to decapsulate b"
)
@pytest.mark.topology(across_a_router(mtu=1400))
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])
def test_a_router_fragments_outer_packets_without_df(lab, far, version):
    assert lab["a"].ping(far.address), "b does not answer"
    small = ip_frame(far, version, df=True)
    frame = ip_frame(far, version, df=True, more=bytes(14 + mtu_of(lab, "a") - len(small)))
    with lab.capture("a:eth0", "b:eth0") as seen:
        send_frame(lab, frame)
        whole = seen["a:eth0"].wait_for(lambda x: x.data.endswith(frame), "the whole outer packet")
        far.wait_for(frame, timeout=3)
    fragments = [x for x in seen["b:eth0"].frames if x.ethertype == 0x0800 and not x.outgoing]
    assert whole.length == 1514
    assert [dissect(each.data).flags for each in fragments] == [0x2000, 1376 // 8]
    assert learned_mtu(lab, far.ip) is None, "a has learned a path MTU"


def bridged(family, dev=False):
    """Containers behind bridges; without ``dev`` the vxlan device of a has an MTU of 1500."""
    return catalog.bridged(family=family).with_vtep("a", "overlay", dev=dev)


def raise_container_mtu(lab):
    """Give container ns0 an MTU of 1500, for which the tunnel has no room."""
    for node, device in (("a", "ns0-eth0"), ("ns0", "eth0")):
        lab.apply(operations.SetLink(node, device, mtu=1500))


def full(lab, version, **fields):
    """A frame from ns0 to ns1 with a packet of 1500 bytes."""
    small = ip_frame(ToNs1(lab), version, **fields)
    return ip_frame(ToNs1(lab), version, more=bytes(1514 - len(small)), **fields)


class ToNs1:
    """Container ns1 as the destination of frames: its MAC."""

    def __init__(self, lab):
        (link,) = lab["ns1"].ip("link", "show", "eth0")
        self.mac = link["address"]


def is_too_big(frame):
    """Whether it is ICMP "fragmentation needed" (RFC 792) or ICMPv6 "packet too big" (RFC 4443)."""
    data = frame.data
    if data[12:14] == b"\x08\x00":
        return not frame.outgoing and data[23] == 1 and data[34:36] == b"\x03\x04"
    return not frame.outgoing and data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] == 2


@pytest.mark.behaviour(
    "a vxlan device in a bridge drops a packet that is too large for the tunnel, and "
    "answers the sender with an ICMP error that has the packet's destination as its source",
    source=REPLY,
)
@pytest.mark.control(
    "the underlay has an MTU of 1600, which leaves room for the headers",
    topology=with_a_larger_underlay,
    because="ns0/eth0: waited 3.* for the ICMP error; found",
)
@pytest.mark.topology(bridged, family=[4, 6])
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])
def test_behind_a_bridge_the_sender_receives_an_icmp_error(lab, version):
    raise_container_mtu(lab)
    frame = full(lab, version, df=True)
    with lab.capture("ns0:eth0", "b:eth0") as seen:
        send_frame(lab, frame, "ns0:eth0")
        said = seen["ns0:eth0"].wait_for(is_too_big, "the ICMP error", timeout=3).data
        send_frame(lab, small := ip_frame(ToNs1(lab), version), "ns0:eth0")
        seen["b:eth0"].wait_for(lambda x: is_carrying(x, small), "the small packet sent later")
        seen["b:eth0"].assert_silent(
            lambda x: frame[14:60] in x.data, "fragment of the large packet"
        )
    mtu = said[40:42] if version == 4 else said[60:62]
    assert (said[0:6], said[6:12]) == (frame[6:12], frame[0:6])  # the MACs are swapped
    addresses = (said[26:30], said[30:34]) if version == 4 else (said[22:38], said[38:54])
    configured = (frame[30:34], frame[26:30]) if version == 4 else (frame[38:54], frame[22:38])
    assert addresses == configured  # and so are the addresses
    assert int.from_bytes(mtu, "big") == inner_mtu(lab)


@pytest.mark.behaviour(
    "a container behind a bridge learns the path MTU from the ICMP error that the vxlan "
    "device sends, and its packets of that size are answered",
    source=f"{REPLY}; RFC 1191",
)
@pytest.mark.control(
    "VTEP a is bound to its lower device, so the bridge drops the packet without an ICMP error",
    vteps={"a": {"dev": True}},
    because=r"ns0 received no ICMP error\nassert None == 14[35]0",
)
@pytest.mark.topology(bridged, family=[4, 6])
def test_a_container_learns_the_path_mtu(lab):
    raise_container_mtu(lab)
    assert lab["ns0"].ping("172.18.1.3"), "ns1 does not answer"
    refused = sized_ping(lab, "172.18.1.3", 1500, df=True, node="ns0", timeout=2)
    assert reported_mtu(refused) == inner_mtu(lab), "ns0 received no ICMP error"
    assert "From 172.18.1.3" in refused.stdout  # the address of ns1, which did not send it
    assert learned_mtu(lab, "172.18.1.3", "ns0") == inner_mtu(lab)
    assert sized_ping(lab, "172.18.1.3", inner_mtu(lab), df=True, node="ns0").code == 0


@pytest.mark.behaviour(
    "a vxlan device in a bridge sends an IPv4 packet without DF that is too large for the "
    "tunnel in outer fragments, without an ICMP error",
    source=f"{CHECK}; iptunnel_pmtud_check_icmp()",
)
@pytest.mark.control(
    "VTEP a is bound to its lower device, so the bridge drops the packet",
    vteps={"a": {"dev": True}},
    because="b/vxlan0: waited 3.* for the decapsulated frame; found",
)
@pytest.mark.topology(bridged(4))
def test_behind_a_bridge_a_packet_without_df_is_fragmented_outside(lab):
    raise_container_mtu(lab)
    frame = full(lab, 4)
    with lab.capture("ns0:eth0", "b:vxlan0") as seen:
        send_frame(lab, frame, "ns0:eth0")
        seen["b:vxlan0"].wait_for(lambda x: x.data == frame, "the decapsulated frame", timeout=3)
        seen["ns0:eth0"].assert_silent(is_too_big, "ICMP error")


@pytest.mark.behaviour(
    "a bridge drops a packet that is larger than the MTU of the vxlan device, and sends no "
    "ICMP error",
    source="net/bridge/br_forward.c: br_dev_queue_push_xmit(), is_skb_forwardable()",
)
@pytest.mark.control(
    "VTEP a is bound to no lower device, so it has an MTU of 1500",
    vteps={"a": {"dev": False}},
    because="ns0/eth0: wanted no ICMP error, found 1",
)
@pytest.mark.topology(bridged, family=[4, 6], dev=True)
@pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])
def test_a_bridge_drops_too_large_packets_without_an_icmp_error(lab, version):
    raise_container_mtu(lab)
    frame = full(lab, version, df=True)
    with lab.capture("ns0:eth0", "b:eth0") as seen:
        send_frame(lab, frame, "ns0:eth0")
        small = ip_frame(ToNs1(lab), version, more=unique_bytes())
        send_frame(lab, small, "ns0:eth0")
        seen["b:eth0"].wait_for(lambda x: is_carrying(x, small), "the small packet sent later")
        seen["b:eth0"].assert_silent(
            lambda x: frame[14:60] in x.data, "fragment of the large packet"
        )
        seen["ns0:eth0"].assert_silent(is_too_big, "ICMP error")
