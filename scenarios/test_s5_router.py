"""5.6 Groups across a router: the TTL, and what happens without the multicast daemon.

a vxlan0 192.168.42.2 ── net1 ── eth0 ┐
b vxlan0 192.168.42.3 ── net2 ── eth1 ┼ router      group 239.1.1.1 (ff08::239:1:1:1)
c vxlan0 192.168.42.4 ── net3 ── eth2 ┘
"""

from __future__ import annotations

import pytest
from flood_tools import (
    BROADCAST,
    carries,
    copies_sent_to,
    datagram_frame,
    group_of,
    is_vxlan,
    link_of,
    send_frames,
    underlay_address,
)

from vxlab import catalog, wait_until
from vxlab.operations import AddFdb, StartDaemon

TTL = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one(): 1 for groups unless set"
FORWARD = "net/ipv4/ipmr.c: ip_mr_forward(); net/ipv6/ip6mr.c: ip6_mr_forward()"


def three_subnets(*, family=4, ttl=None, group=None):
    """Three subnets and a router; a's device has a `ttl`, where one is given."""
    made = catalog.routed(family=family, ttl=None, port=4789, group=group)
    return made if ttl is None else made.with_vtep("a", "overlay", ttl=ttl)


def wait_for_a_routed_packet(lab, seen):
    """Send a unicast packet from a to b's subnet, and wait until the router has forwarded it."""
    lab["a"].send_marked(underlay_address(lab, "b"), b"through")
    seen.wait_for(lambda frame: frame.outgoing and frame.mark == b"through", "a routed packet")


def wait_for_route(lab):
    """Wait until the router has a resolved multicast route for a's flooded frames."""
    wanted = underlay_address(lab, "a"), group_of(lab), False

    def found():
        rows = lab["router"].state.multicast_routes
        return wanted in [(row.source, row.group, row.unresolved) for row in rows]

    wait_until(found, "a multicast route for a's flooded frames")


@pytest.mark.behaviour(
    "a frame flooded to a group is sent with TTL 1 unless `ttl` says otherwise, and the first "
    "router does not forward it",
    source=TTL,
)
@pytest.mark.control(
    "a's device has `ttl 8`",
    vteps={"a": {"ttl": 8}},
    because="router/eth1: wanted no VXLAN packet behind the router",
)
@pytest.mark.topology(three_subnets, family=[4, 6])
@pytest.mark.topology(three_subnets, family=[4, 6], ttl=1)
def test_with_ttl_1_the_first_router_does_not_forward_a_flooded_frame(lab):
    flooded = carries(b"flood", lab.topology.ports)
    with lab.capture("router:eth0", "router:eth1") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"first"))
        wait_for_route(lab)  # from now on the kernel of the router decides, without its daemon
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"flood"))
        arrived = seen["router:eth0"].wait_for(flooded, "the flooded frame")
        wait_for_a_routed_packet(lab, seen["router:eth1"])
        in_tunnel = is_vxlan(lab.topology.ports)
        seen["router:eth1"].assert_silent(in_tunnel, "VXLAN packet behind the router")
    assert arrived.ttl == 1, "the outer TTL is not 1"


@pytest.mark.behaviour(
    "a frame flooded to a group with a higher `ttl` is forwarded by a router with its outer TTL "
    "reduced by one",
    source=FORWARD,
)
@pytest.mark.control(
    "a's device has `ttl 1`",
    vteps={"a": {"ttl": 1}},
    because="b/eth0: waited .* for the flooded frame behind the router",
)
@pytest.mark.topology(three_subnets, family=[4, 6], ttl=[2, 8, 255])
def test_with_a_higher_ttl_a_router_forwards_a_flooded_frame(lab):
    ttl = dict(lab.topology.host("a").vteps[0].attributes)["ttl"]
    flooded = carries(b"flood", lab.topology.ports)
    with lab.capture("b:eth0", "c:eth0") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"flood"))
        for place in seen:
            frame = seen[place].wait_for(flooded, "the flooded frame behind the router", timeout=3)
            assert (frame.ttl, frame.outer_dst) == (ttl - 1, group_of(lab))


def stop_daemon(lab):
    """Stop the router's multicast daemon."""
    lab.stop_daemon("router")


@pytest.mark.behaviour(
    "a multicast router sends one copy of a flooded frame out of each interface but the one that "
    "it came in by",
    source=FORWARD,
)
@pytest.mark.control(
    "the router's multicast daemon is stopped",
    lab=stop_daemon,
    because="router/eth1: waited .* for the flooded frame",
)
@pytest.mark.topology(three_subnets, family=[4, 6], ttl=8)
def test_a_router_sends_one_copy_out_of_each_other_interface(lab):
    flooded = carries(b"flood", lab.topology.ports)
    with lab.capture("router:eth0", "router:eth1", "router:eth2") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"flood"))
        for interface in ("router:eth1", "router:eth2"):
            seen[interface].wait_for(flooded, "the flooded frame", timeout=3)
        wait_for_a_routed_packet(lab, seen["router:eth1"])
    copies = {interface: copies_sent_to(seen[interface], b"flood") for interface in seen}
    assert copies == {interface: [group_of(lab)] for interface in seen}
    assert [frame.outgoing for frame in seen["router:eth0"].frames if flooded(frame)] == [False]


def in_a_link_local_group(*, family=4, group):
    """The router forwards the usual group, for c; a and b are in ``group``."""
    made = three_subnets(family=family, ttl=8, group=group)
    return made.with_vtep("c", "overlay", group=catalog.GROUPS[family])


def in_a_wider_group(topology):
    """The same topology, the group of a and b one that is not of link-local scope."""
    family = topology.hosts[0].nics[0].interface.version
    return in_a_link_local_group(family=family, group="239.2.2.2" if family == 4 else "ff08::2:2:2")


@pytest.mark.behaviour(
    "a router does not forward frames to a group of link-local scope, even with TTL 8",
    source="RFC 5771 section 4; RFC 4291 section 2.7",
)
@pytest.mark.control(
    "the group of a and b is not of link-local scope",
    topology=in_a_wider_group,
    because="the router forwarded the flooded frame",
)
@pytest.mark.topology(in_a_link_local_group, group="224.0.0.100")
@pytest.mark.topology(in_a_link_local_group, family=6, group="ff02::100")
def test_a_router_does_not_forward_a_link_local_group(lab):
    inner, in_tunnel = "01:00:5e:01:02:03", is_vxlan(lab.topology.ports)
    routed = lab.topology.attributes(lab.topology.host("c"), lab.topology.host("c").vteps[0])
    lab.apply(AddFdb("a", "vxlan0", inner, routed["group"], via="eth0"))
    with lab.capture("router:eth0", "router:eth1", "router:eth2") as seen:
        send_frames(
            lab["a"], "vxlan0", datagram_frame(BROADCAST, b"flood"), datagram_frame(inner, b"later")
        )
        arrived = seen["router:eth0"].wait_for(in_tunnel, "the flooded frame")
        later = carries(b"later", lab.topology.ports)
        seen["router:eth2"].wait_for(later, "a later frame to the group that is routed")
        wait_for_a_routed_packet(lab, seen["router:eth1"])
    assert (arrived.ttl, arrived.outer_dst) == (8, group_of(lab))
    copies = copies_sent_to(seen["router:eth1"], b"flood")
    assert not copies, "the router forwarded the flooded frame"


@pytest.mark.behaviour(
    "a router without its multicast daemon forwards no flooded frames, and forwards them again "
    "when the daemon is back",
    source=FORWARD,
)
@pytest.mark.control(
    "the router's multicast daemon is not started again",
    without=StartDaemon,
    because="b/eth0: waited .* for the frame after the restart",
)
@pytest.mark.topology(three_subnets, family=[4, 6], ttl=8)
def test_after_a_restart_of_its_daemon_a_router_forwards_again(lab):
    with lab.capture("router:eth1", "b") as seen:
        lab.stop_daemon("router")
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"while stopped"))
        wait_for_a_routed_packet(lab, seen["router:eth1"])
        lab.start_daemon("router")
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"again"))
        again = carries(b"again", lab.topology.ports)
        seen["b"].wait_for(again, "the frame after the restart", timeout=3)
    assert copies_sent_to(seen["b"], b"while stopped") == []


@pytest.mark.behaviour(
    "unicast frames to learned MACs are forwarded also while the router's multicast daemon is "
    "stopped",
    source=FORWARD,
)
@pytest.mark.control(
    "a's device has `nolearning`",
    vteps={"a": {"learning": False}},
    because="b/eth0: waited .* for the unicast frame",
)
@pytest.mark.topology(catalog.routed, family=[4, 6], port=4789)
def test_learned_unicast_needs_no_multicast_daemon(lab):
    assert lab["a"].ping("192.168.42.3")
    mac = link_of(lab, "b").mac
    with lab.capture("b") as seen:
        lab.stop_daemon("router")
        send_frames(lab["a"], "vxlan0", datagram_frame(mac, b"unicast"))
        unicast = carries(b"unicast", lab.topology.ports)
        seen["b"].wait_for(unicast, "the unicast frame", timeout=3)
    assert copies_sent_to(seen["b"], b"unicast") == [underlay_address(lab, "b")]
